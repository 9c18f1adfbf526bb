"""Replies of models that write: which option one chooses, in whatever language it is written.

words      what is known of each language: a table
lexicon    those words as one expression
text       a reply in the form in which it is read
mentions   where it names options
structure  which of them stand together, and in which clause
choice     which of them it chooses
"""

from ggez_hub.evaluation.benchmarks.replies.choice import read_choice
from ggez_hub.evaluation.benchmarks.replies.lexicon import after_thought, plain

# Recorded with what was read: raise it when a reply may be read as another option than before.
READER = 2

__all__ = ["READER", "after_thought", "plain", "read_choice"]
