"""Which rules there are, in the order in which they are fitted and shown. A rule's key is its module here."""

from longtail.rules.base import Evidence, Rule, rule_class

HEAD = "head"
# The rule beside which every other has to stand: a gain that it has too is a moved threshold.
ADJUSTED = "head_adjusted"
# The rule beside the cluster-wise one: what that has more was chosen on validation.
PUBLISHED = "large_margin"
RULES = (
    *("cluster_wise", PUBLISHED, "sample_wise", "class_mean", "soft_voting"),
    *(HEAD, ADJUSTED, "head_tau_normalised", "head_thresholds", "head_and_knn"),
)


def fit_rules(keys: list[str], evidence: Evidence) -> dict[str, Rule]:
    """Those of the rules that this evidence allows, fitted, in the order of the registry."""
    fitted: dict[str, Rule] = {}
    for key in RULES:
        if key in keys and rule_class(key).obstacle(evidence) is None:
            fitted[key] = rule_class(key).fit(evidence, fitted)
    return fitted
