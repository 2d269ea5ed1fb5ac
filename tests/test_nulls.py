"""Nulls on their way through kfp."""

from hypothesis import given
from hypothesis import strategies as st
from kfp.compiler.pipeline_spec_builder import to_protobuf_value

from longtail.parameters import marked, unmarked

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(VALUES)
def test_what_is_marked_kfp_converts_and_unmarked_it_is_as_it_was(value: object) -> None:
    to_protobuf_value(marked(value))
    assert unmarked(marked(value)) == value
