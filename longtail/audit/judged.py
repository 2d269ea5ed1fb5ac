"""Labels that may be wrong by a model's own probabilities, of samples that it was not trained on."""

import numpy as np

from longtail.audit.suspects import Suspects, Votes, suspects
from longtail.rules.base import Floats, Ints, Rule
from longtail.rules.probabilities import Probabilities


def judged(
    rule: Rule, probabilities: Probabilities, embeddings: Floats, logits: Floats | None, truth: Ints
) -> Suspects:
    """The suspects among the samples (n,) whose class code is in `truth`, −1 for all that is not to be judged;
    `embeddings` (n, d), `logits` (n, K) where the rule needs them.
    """
    positions = np.flatnonzero(truth >= 0)
    if not len(positions):
        return Suspects([], 0, 0)
    answers, scores = rule.predict(embeddings[positions], None if logits is None else logits[positions])
    found = suspects(Votes.of(probabilities.of(answers, scores), truth[positions]), truth[positions])
    return found._replace(found=[one._replace(position=int(positions[one.position])) for one in found.found])
