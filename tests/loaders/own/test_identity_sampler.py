"""Batches of identities: who is in them, how often, and in which order."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.errors import UsageError
from registry.loaders.identity_sampler import IdentitySampler

Row = tuple[str, int, int, str | None]


def items(rows: list[Row]) -> Any:
    """Return a dataset with rows of split, pair_id, style and source."""
    names = ("split", "pair_id", "style", "source")
    types = (pa.string(), pa.int32(), pa.int32(), pa.string())
    columns = [pa.array([row[k] for row in rows], types[k]) for k in range(4)]
    return SimpleNamespace(rows=pa.table(dict(zip(names, columns, strict=True))))


def grid(pairs: int = 10, styles: int = 2, user: int = 3, shop: int = 2) -> list[Row]:
    """Return rows of identities that have as many items of each side."""
    sources = ["user"] * user + ["shop"] * shop
    return [("train", p, s, source) for p in range(1, pairs + 1) for s in range(1, styles + 1) for source in sources]


def identity(row: Row) -> tuple[str, int, int]:
    return row[:3]


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["train", "validation"]),
        st.integers(1, 6),
        st.integers(0, 3),
        st.sampled_from(["user", "shop", "user", "shop", None]),
    ),
    max_size=150,
)
ARGUMENTS = st.fixed_dictionaries(
    {
        "num_identities": st.integers(2, 5),
        "num_items": st.integers(2, 5),
        "sides": st.sampled_from(["both", "user", "shop", "any"]),
        "hard": st.sampled_from([0.0, 0.3, 0.5, 1.0]),
        "singles": st.sampled_from(["drop", "repeat"]),
        "drop_last": st.booleans(),
        "seed": st.integers(0, 3),
        "world_size": st.integers(1, 3),
    }
)


@settings(max_examples=300, deadline=None)
@given(ROWS, ARGUMENTS, st.integers(0, 2))
def test_an_epoch_takes_each_identity_once_and_no_item_in_two_batches(
    rows: list[Row], arguments: dict[str, Any], epoch: int
) -> None:
    world = arguments["world_size"]
    try:
        samplers = [IdentitySampler(items(rows), **arguments, rank=rank) for rank in range(world)]
    except UsageError:
        return
    ranks = []
    for sampler in samplers:
        sampler.set_epoch(epoch)
        ranks.append(list(sampler))
    assert {len(batches) for batches in ranks} == {len(samplers[0])}
    batches = [batch for rank in ranks for batch in rank]
    per_batch = [{identity(rows[k]) for k in batch} for batch in batches]
    times = Counter(key for keys in per_batch for key in keys)
    assert set(times.values()) == {1}
    assert max(Counter(k for batch in batches for k in set(batch)).values()) == 1
    size = arguments["num_identities"]
    drawn = len(samplers[0].identities)
    if arguments["drop_last"]:
        assert {len(keys) for keys in per_batch} == {size}
        assert drawn - len(times) < size * world
    else:
        assert len(times) == drawn
        assert max(map(len, per_batch)) <= size
        assert max(map(len, per_batch)) - min(map(len, per_batch)) <= 1


@settings(max_examples=300, deadline=None)
@given(ROWS, ARGUMENTS)
def test_each_identity_gives_its_items_by_side(rows: list[Row], arguments: dict[str, Any]) -> None:
    try:
        sampler = IdentitySampler(items(rows), **arguments)
    except UsageError:
        return
    number, sides = arguments["num_items"], arguments["sides"]
    for batch in sampler:
        for start in range(0, len(batch), number):
            chosen = batch[start : start + number]
            keys = {identity(rows[k]) for k in chosen}
            assert len(keys) == 1
            (key,) = keys
            assert key[2] > 0
            sources = [rows[k][3] for k in chosen]
            if sides == "both":
                assert sources == ["user"] * -(-number // 2) + ["shop"] * (number // 2)
            elif sides != "any":
                assert set(sources) == {sides}
            for source in set(sources) if sides == "both" else [None]:
                share = [k for k in chosen if source is None or rows[k][3] == source]
                wanted = {"both": source, "any": None}.get(sides, sides)
                pool = [k for k, row in enumerate(rows) if identity(row) == key and wanted in (None, row[3])]
                assert len(set(share)) == min(len(share), len(pool))
                assert len(pool) > 1 or sides == "both" or arguments["singles"] == "repeat"


@settings(max_examples=200, deadline=None)
@given(ROWS, ARGUMENTS, st.integers(0, 2), st.data())
def test_a_loaded_state_gives_exactly_the_remaining_batches(
    rows: list[Row], arguments: dict[str, Any], epoch: int, data: st.DataObject
) -> None:
    try:
        sampler = IdentitySampler(items(rows), **arguments)
    except UsageError:
        return
    sampler.set_epoch(epoch)
    whole = list(sampler)
    taken = data.draw(st.integers(0, len(whole)))
    drawn = data.draw(st.integers(taken, len(whole)))
    sampler.set_epoch(epoch)
    batches = iter(sampler)
    for _ in range(drawn):
        next(batches)
    state = pickle.loads(pickle.dumps(sampler.state_dict(taken)))
    resumed = IdentitySampler(items(rows), **arguments)
    resumed.load_state_dict(state)
    if data.draw(st.booleans()):
        resumed.set_epoch(epoch)
    assert list(resumed) == whole[taken:]
    sampler.set_epoch(epoch + 1)
    assert list(resumed) == list(sampler)


def test_hard_couples_share_a_pair_id_and_not_a_style() -> None:
    rows = grid(pairs=20, styles=3)
    sampler = IdentitySampler(items(rows), 8, 4, hard=0.5, seed=3)
    assert sampler.notices == ()
    for batch in sampler:
        pairs = Counter(pair for _, pair, _ in {identity(rows[k]) for k in batch})
        assert sum(number for number in pairs.values() if number > 1) >= 4


def test_hard_couples_differ_from_epoch_to_epoch() -> None:
    rows = grid(pairs=4, styles=4)
    sampler = IdentitySampler(items(rows), 4, 2, hard=0.5)
    couples = set()
    for _ in range(40):
        for batch in sampler:
            first, second = (identity(rows[batch[k]]) for k in (0, 2))
            assert first[:2] == second[:2]
            couples.add(frozenset([first, second]))
    assert len(couples) == 4 * 6


def test_too_few_hard_couples_are_spread_and_noted() -> None:
    rows = grid(pairs=2, styles=2) + [(s, p + 10, t, r) for s, p, t, r in grid(pairs=12, styles=1)]
    sampler = IdentitySampler(items(rows), 4, 4, hard=1.0)
    assert sampler.notices == ("hard=1.0 needs 8 couples of identities of a pair_id; there are 2 couples.",)
    num_couples = [4 - len({rows[k][1] for k in batch}) for batch in sampler]
    assert max(num_couples) == 1
    assert sum(num_couples) == 2


def test_items_that_are_left_out_or_repeated_are_noted() -> None:
    rows: list[Row] = [
        *grid(pairs=2),
        ("train", 3, 1, "user"),
        ("train", 4, 1, "shop"),
        ("train", 5, 1, "user"),
        ("train", 5, 1, "shop"),
        ("train", 5, 0, "shop"),
    ]
    assert IdentitySampler(items(rows), 2, 4).notices == (
        "1 item of style 0 has no identity: left out of the batches.",
        "2 identities left out: 1 without a user item, 1 without a shop item.",
        "1 identity has fewer items than a batch takes of them: their items are repeated within the batch.",
    )
    assert IdentitySampler(items(rows), 2, 4, sides="any").notices[1:] == (
        "2 identities of a single item left out.",
        "1 identity has fewer items than a batch takes of them: their items are repeated within the batch.",
    )


def test_an_identity_number_is_of_its_split() -> None:
    rows = grid(pairs=1, styles=1) + [("validation", *row[1:]) for row in grid(pairs=1, styles=1)]
    assert len(IdentitySampler(items(rows), 2, 2).identities) == 2


def test_batches_are_the_same_on_every_machine() -> None:
    sampler = IdentitySampler(items(grid(pairs=3)), 2, 3, seed=7, hard=1.0)
    assert list(sampler) == GOLDEN[0]
    assert list(sampler) == GOLDEN[1]


GOLDEN = [
    [[12, 11, 13, 17, 15, 18], [25, 26, 29, 21, 20, 24], [0, 2, 3, 5, 6, 8]],
    [[25, 26, 28, 21, 20, 23], [15, 17, 18, 11, 12, 14], [5, 7, 9, 2, 1, 3]],
]


def test_every_pass_takes_the_next_epoch_unless_it_is_set() -> None:
    sampler = IdentitySampler(items(grid()), 4, 2)
    epochs = [list(sampler) for _ in range(3)]
    assert sampler.epoch == 2
    assert epochs[0] != epochs[1] != epochs[2]
    for epoch in (2, 0, 0):
        sampler.set_epoch(epoch)
        assert list(sampler) == epochs[epoch]


@pytest.mark.parametrize("world_size", [1, 3])
def test_more_identities_than_there_are_is_refused_with_both_numbers(world_size: int) -> None:
    with pytest.raises(UsageError, match=r"num_identities=64.* 20 identities"):
        IdentitySampler(items(grid()), 64, 4, world_size=world_size)


def test_a_dataset_without_items_is_refused() -> None:
    with pytest.raises(UsageError, match=r"num_identities=2, but the items have 0 identities"):
        IdentitySampler(items([]), 2, 2)


def test_arguments_out_of_range_are_refused_together() -> None:
    with pytest.raises(UsageError) as caught:
        IdentitySampler(
            items(grid()), 1, 0, sides="left", hard=2, singles="keep", seed=-1, rank=2, world_size=2  # type: ignore[arg-type]
        )  # fmt: skip
    assert str(caught.value) == (
        "IdentitySampler: num_identities is 1; expected 2 or more; num_items is 0; expected 2 or more; "
        "sides is 'left'; expected one of both, user, shop, any; hard is 2; expected a share from 0 to 1; "
        "singles is 'keep'; expected one of drop, repeat; seed is -1; expected 0 or more; "
        "rank is 2 and world_size 2; expected 0 <= rank < world_size."
    )


def test_rows_that_are_no_items_are_refused() -> None:
    with pytest.raises(UsageError, match="the rows lack style; give a dataset of items"):
        IdentitySampler(items(grid()).rows.drop_columns(["style"]), 2, 2)


def test_the_state_of_another_sampler_is_refused() -> None:
    state = IdentitySampler(items(grid()), 4, 2).state_dict()
    with pytest.raises(UsageError, match="num_items is 3, but 2 in the state; seed is 1, but 0 in the state"):
        IdentitySampler(items(grid()), 4, 3, seed=1).load_state_dict(state)


def test_the_state_of_a_rank_fits_all_ranks() -> None:
    ranks = [IdentitySampler(items(grid()), 4, 2, rank=rank, world_size=2) for rank in range(2)]
    batches = iter(ranks[0])
    next(batches)
    whole = list(ranks[1])
    ranks[1].load_state_dict(ranks[0].state_dict())
    assert list(ranks[1]) == whole[1:]


def test_a_table_is_as_good_as_a_dataset() -> None:
    rows = items(grid())
    assert list(IdentitySampler(rows.rows, 4, 2)) == list(IdentitySampler(rows, 4, 2))


def test_no_torch_is_needed() -> None:
    program = "import sys; sys.modules['torch'] = None; from registry.loaders import IdentitySampler, ShardSamples"
    subprocess.run([sys.executable, "-c", program], check=True)
