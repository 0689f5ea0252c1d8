"""Queries that carry where they come from, and what the policies make of it."""

import copy
import dataclasses
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.retrieval.scopes import Chain, Policy, Query, Scope

PUBLIC, PRIVATE = Scope
ALL = {policy: policy.chains(2) for policy in Policy}


def vectors(rows: int) -> np.ndarray:
    return np.ones((rows, 3), np.float32)


@given(policy=st.sampled_from(Policy), data=st.data())
@settings(max_examples=80, deadline=None)
def test_a_query_never_loses_an_origin(policy: Policy, data: st.DataObject) -> None:
    """Whatever is derived, taken and joined, each row has exactly the origins of all it was made of."""
    raw = data.draw(st.integers(1, 4))
    start = {PRIVATE} if policy.question_is_private else set()
    query, expected = Query(vectors(raw), policy), [frozenset(start)] * raw
    owners = list(range(raw))
    for _ in range(data.draw(st.integers(0, 6))):
        rows = data.draw(st.lists(st.integers(0, len(query) - 1), min_size=1, max_size=5))
        operation = data.draw(st.sampled_from(["derive", "take", "join"]))
        if operation == "derive":
            scope = data.draw(st.sampled_from(Scope))
            query = query.derive(vectors(len(rows)), np.array(rows), scope)
            expected = [expected[row] | {scope} for row in rows]
            owners = [owners[row] for row in rows]
        elif operation == "take":
            query = query.take(np.array(rows))
            expected, owners = [expected[row] for row in rows], [owners[row] for row in rows]
        else:
            query = Query.join([query, query.take(np.array(rows))])
            expected = expected + [expected[row] for row in rows]
            owners = owners + [owners[row] for row in rows]
        assert query.origins == expected
        assert query.tainted.tolist() == [PRIVATE in scopes for scopes in expected]
        assert query.raw.tolist() == [not scopes for scopes in expected]
        assert query.questions.tolist() == owners


def test_a_query_cannot_be_laundered() -> None:
    """Writing private numbers into an untainted query, or wiping its origins, must be impossible by any usual way."""
    mine = vectors(2)
    query = Query(mine, Policy.DOCUMENT)
    mine[:] = 7.0
    assert isinstance(query.values, np.ndarray)
    assert query.values.tolist() == vectors(2).tolist()
    tainted = query.derive(vectors(2), np.array([0, 1]), PRIVATE)
    assert isinstance(tainted.values, np.ndarray)
    for array in (query.values, query.questions, tainted._origins):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.setflags(write=True)
    for name in ("values", "questions", "_origins", "anything"):
        with pytest.raises(AttributeError, match="derive a new query"):
            setattr(tainted, name, query.values)
        with pytest.raises(AttributeError, match="derive a new query"):
            delattr(tainted, name)
    with pytest.raises(AttributeError):
        copy.copy(tainted)
    with pytest.raises(TypeError):
        dataclasses.replace(tainted, _origins=None)  # type: ignore[type-var]


def test_texts_are_tracked_like_vectors() -> None:
    query = Query(["who wrote it?", "where?"], Policy.DOCUMENT)
    derived = query.derive(["who wrote it? Anna", "where? Bonn"], np.array([0, 1]), PUBLIC)
    both = Query.join([derived, derived.derive(["x"], np.array([1]), PRIVATE)])
    assert both.values == ("who wrote it? Anna", "where? Bonn", "x")
    assert both.origins == [frozenset({PUBLIC}), frozenset({PUBLIC}), frozenset({PUBLIC, PRIVATE})]
    assert both.take(both.tainted).values == ("x",)


def test_mistaken_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="not one string"):
        Query("a question", Policy.NONE)
    with pytest.raises(ValueError, match="vectors are"):
        Query(np.zeros(3, np.float32), Policy.NONE)
    with pytest.raises(ValueError, match="1 values for 2 parents"):
        Query(vectors(2), Policy.NONE).derive(vectors(1), np.array([0, 1]), PUBLIC)


def test_the_policies_allow_the_chains_of_the_paper() -> None:
    """Section 3: document privacy forbids private to public alone; query privacy leaves private to private alone."""
    assert len(ALL[Policy.NONE]) == 4
    assert set(ALL[Policy.NONE]) - set(ALL[Policy.DOCUMENT]) == {(PRIVATE, PUBLIC)}
    assert ALL[Policy.QUERY] == ALL[Policy.PRIVATE_ONLY] == [(PRIVATE, PRIVATE)]


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("chain", list(product(Scope, repeat=3)))
def test_what_is_permitted_on_the_way_is_what_is_allowed_in_all(policy: Policy, chain: Chain) -> None:
    """`permits` sees a query at a time and `allows` a whole chain: they must not come apart."""
    query, sent = Query(vectors(1), policy), True
    for scope in chain:
        sent = sent and (scope is PRIVATE or bool(policy.permits(query)[0]))
        query = query.derive(vectors(1), np.array([0]), scope)
    assert policy.allows(chain) == sent
