import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from milepost.workflows.contest.stored_predictions import load_predictions, store_predictions

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_stored_is_loaded(context, data):
    ids = tuple(data.draw(st.lists(names, max_size=6, unique=True)))
    labels = tuple(data.draw(st.lists(names, min_size=1, max_size=5, unique=True)))
    shape = (len(ids), len(labels))
    probabilities = data.draw(arrays(np.float32, shape, elements=st.floats(0, 1, width=32)))
    digest = store_predictions(context, ids, labels, probabilities)
    found_ids, found_labels, found = load_predictions(context, digest)
    assert (found_ids, found_labels) == (ids, labels)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, probabilities)
    assert store_predictions(context, ids, labels, probabilities) == digest


def test_memory_order_does_not_matter(context):
    probabilities = np.asarray([[0.1, 0.9], [0.6, 0.4], [0.5, 0.5]], np.float32)
    turned = np.asfortranarray(probabilities)
    digest = store_predictions(context, ("x", "y", "z"), ("a", "b"), turned)
    np.testing.assert_array_equal(load_predictions(context, digest)[2], probabilities)
