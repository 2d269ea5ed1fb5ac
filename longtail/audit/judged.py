"""Labels that may be wrong by a model's own probabilities, of samples that it was not trained on."""

import numpy as np

from longtail.audit.suspects import Suspects, Votes, suspects
from longtail.rules.base import Floats, Ints, Rule
from longtail.rules.knn import row_blocks
from longtail.rules.probabilities import Probabilities


def judged(
    rule: Rule, probabilities: Probabilities, embeddings: Floats, logits: Floats | None, truth: Ints, class_count: int
) -> Suspects:
    """The suspects among the samples (n,) whose class code is in `truth`, −1 for all that is not to be judged;
    `embeddings` (n, d), `logits` (n, K) where the rule needs them; `class_count`: K.
    """
    positions = np.flatnonzero(truth >= 0)
    if not len(positions):
        return Suspects([], 0, 0)
    parts = []
    for rows in row_blocks(len(positions), class_count):
        at = positions[rows]
        shares = probabilities.of(*rule.predict(embeddings[at], None if logits is None else logits[at]))
        parts.append(Votes.of(shares, truth[at]))
    found = suspects(Votes(*map(np.concatenate, zip(*parts, strict=True))), truth[positions])
    return found._replace(found=[one._replace(position=int(positions[one.position])) for one in found.found])
