"""Division into parts: no group is cut, equal on every machine, and balanced with ``stratify``."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.dataset.deepfashion2 import CATEGORIES
from registry.errors import UsageError
from registry.subset.resplit import Group, Key, Resplit, assign, balance

EXAMPLE = "train=0.8,val=0.1,test=0.1"
#: Items of every category about as in the released train split, to draw from; the rarest, of 543, is four times as
#: frequent, as there are a quarter of its groups.
FREQUENCIES = (71645, 36064, 2172, 13457, 16095, 1985, 36616, 55387, 30835, 17211, 7907, 17949, 6492)

keys = st.tuples(st.sampled_from(["train", "validation"]), st.integers(-1000, 20000))
counts = st.tuples(*[st.integers(0, 20)] * len(CATEGORIES))
groups = st.lists(st.builds(Group, keys, st.integers(1, 40), counts), max_size=40, unique_by=lambda group: group.key)


@st.composite
def resplits(draw: st.DrawFn, stratify: bool | None = None) -> Resplit:
    """Draw a division into one to five parts."""
    weights = draw(st.lists(st.integers(1, 100), min_size=1, max_size=5))
    fractions = tuple((f"part-{number}", weight / sum(weights)) for number, weight in enumerate(weights))
    return Resplit(fractions, draw(st.integers(0, 5)), draw(st.booleans()) if stratify is None else stratify)


def population(size: int, seed: int = 0) -> list[Group]:
    """Return groups in the proportions of the dataset: 2 to 20 images of 1 to 3 clothes, some mislabelled."""
    chance = random.Random(seed)
    drawn = []
    for pair_id in range(1, size + 1):
        num_images = min(20, max(2, round(chance.lognormvariate(2.4, 0.5))))
        clothes = chance.choices(range(13), FREQUENCIES, k=chance.choice((1, 1, 2, 3)))
        items = [0] * 13
        for _ in range(round(num_images * 1.63)):
            mislabelled = chance.random() < 0.05
            items[chance.choices(range(13), FREQUENCIES)[0] if mislabelled else chance.choice(clothes)] += 1
        drawn.append(Group(("train", pair_id), num_images, tuple(items)))
    return drawn


@given(groups=groups, resplit=resplits())
def test_every_group_is_in_exactly_one_part(groups: list[Group], resplit: Resplit) -> None:
    assigned = assign(groups, resplit)
    assert list(assigned) == [group.key for group in groups]
    assert set(assigned.values()) <= {name for name, _ in resplit.fractions}


@pytest.mark.parametrize("stratify", [False, True])
def test_one_part_may_hold_everything(stratify: bool) -> None:
    resplit = Resplit.parse("all=1", 7, stratify)
    groups = population(50)
    assert set(assign(groups, resplit).values()) == {"all"}
    (row,) = balance(groups, assign(groups, resplit), resplit)
    assert (row["images_share"], row["items_share"], row["worst_deviation"], resplit.text) == (1, 1, 0, "all=1.0")


@given(groups=groups, resplit=resplits(), chance=st.randoms(use_true_random=False))
def test_the_order_of_the_groups_changes_nothing(groups: list[Group], resplit: Resplit, chance: random.Random) -> None:
    assert assign(chance.sample(groups, len(groups)), resplit) == assign(groups, resplit)


@given(groups=groups, more=groups, resplit=resplits(stratify=False))
def test_a_group_keeps_its_part_when_others_come_or_change(
    groups: list[Group], more: list[Group], resplit: Resplit
) -> None:
    before = assign(groups, resplit)
    after = assign(list({group.key: group for group in [*groups, *more]}.values()), resplit)
    assert {key: after[key] for key in before} == before


@pytest.mark.parametrize("stratify", [False, True])
def test_another_seed_gives_another_division(stratify: bool) -> None:
    divisions = [assign(population(200), Resplit.parse(EXAMPLE, seed, stratify)) for seed in range(4)]
    assert len({tuple(assigned.items()) for assigned in divisions}) == 4


def test_the_hash_gives_every_part_about_its_share_of_the_groups() -> None:
    parts = list(assign(population(5000), Resplit.parse("a=0.7,b=0.25,c=0.05")).values())
    for name, fraction in (("a", 0.7), ("b", 0.25), ("c", 0.05)):
        assert abs(parts.count(name) / 5000 - fraction) < 3 * math.sqrt(fraction * (1 - fraction) / 5000)


def test_the_same_pair_id_of_another_split_is_another_group() -> None:
    assigned = assign([Group((split, n), 1, (1,) * 13) for n in range(50) for split in ("train", "validation")],
                   Resplit.parse("a=0.5,b=0.5"))  # fmt: skip
    assert any(assigned["train", n] != assigned["validation", n] for n in range(50))


@pytest.mark.parametrize(
    "text",
    [EXAMPLE, "train=0.98,val=0.01,test=0.01", "a=0.2,b=0.2,c=0.2,d=0.2,e=0.2", "a=0.5,b=0.5", "a=0.6,b=0.35,c=0.05"],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_stratify_gives_every_part_its_share_of_images_and_of_each_category(text: str, seed: int) -> None:
    groups = population(4000)
    resplit = Resplit.parse(text, seed, stratify=True)
    rows = balance(groups, assign(groups, resplit), resplit)
    # Groups are never cut, and some hold 5 points of the rarest category alone.
    assert max(row["worst_deviation"] for row in rows) < 0.01
    assert max(abs(row["images_share"] - row["fraction"]) for row in rows) < 0.005
    assert max(abs(row["items_share"] - row["fraction"]) for row in rows) < 0.005


def test_without_stratify_rare_categories_are_far_from_it() -> None:
    groups = population(4000)
    resplit = Resplit.parse(EXAMPLE)
    assert max(row["worst_deviation"] for row in balance(groups, assign(groups, resplit), resplit)) > 0.02


def test_stratify_takes_images_without_items_and_groups_without_anything() -> None:
    nothing = (0,) * 13
    photos = [Group(("test", -number), 1, nothing) for number in range(1, 101)]
    assigned = assign([*photos, Group(("test", 1), 0, nothing)], Resplit.parse("a=0.75,b=0.25", stratify=True))
    assert sorted(assigned[photo.key] for photo in photos) == ["a"] * 75 + ["b"] * 25
    assert assign([], Resplit.parse(EXAMPLE, stratify=True)) == {}


# A group must keep its part in every later version: who divided the data once divides it the same again.
GOLDEN: dict[tuple[bool, int], str] = {
    (False, 0): "accaacabccaccabcaacbbbabbaabcbbcaaaaccbaaaabacbbaccaacaaabaaccab",
    (False, 7): "abaabbaacaabcaaabaacabbbabaabacbaaacaccbacaaacaaabbaaabcbbaaabac",
    (True, 0): "acabcabcacaccaaacabaaaacbaaabaababbbcabacbbbbacbbacaabcabaacacaa",
    (True, 7): "aabbcaacabaccacacbbaabcbaacabababcbbbabacaaabbacbabaaacaaaaccccb",
}


@pytest.mark.parametrize(("stratify", "seed"), GOLDEN)
def test_assignments_never_change(stratify: bool, seed: int) -> None:
    groups = [
        Group(("train", n), 2 + n * 7 % 11, tuple((n * (place + 3) % 17) // (place + 2) for place in range(13)))
        for n in range(1, 61)
    ]
    groups += [Group(("test", -n), 1, (0,) * 13) for n in range(1, 5)]
    assigned = assign(groups, Resplit.parse("a=0.5,b=0.3,c=0.2", seed, stratify))
    assert "".join(assigned.values()) == GOLDEN[stratify, seed]


def test_the_balance_counts_the_images_and_items_of_every_part() -> None:
    def group(number: int, images: int, tops: int, skirts: int) -> Group:
        return Group(("train", number), images, (tops, *[0] * 7, skirts, *[0] * 4))

    groups = [group(1, 6, 8, 0), group(2, 2, 1, 1), group(3, 2, 1, 0)]
    assigned: dict[Key, str] = {("train", 1): "big", ("train", 2): "small", ("train", 3): "big"}
    big, small = balance(groups, assigned, Resplit.parse("big=0.75,small=0.25"))
    none = {category.name: None for category in CATEGORIES}
    assert big == {
        "part": "big",
        "fraction": 0.75,
        "num_groups": 2,
        "num_images": 8,
        "images_share": 0.8,
        "num_items": 9,
        "items_share": 9 / 11,
        "category_shares": none | {"short sleeve top": 0.9, "skirt": 0.0},
        "worst_deviation": 0.75,
        "worst_of": "skirt",
    }
    assert (small["num_groups"], small["num_images"], small["num_items"]) == (1, 2, 2)
    assert small["category_shares"] == none | {"short sleeve top": 0.1, "skirt": 1.0}
    assert (small["worst_deviation"], small["worst_of"]) == (0.75, "skirt")


def test_balance_of_nothing_has_no_shares() -> None:
    rows = balance([], {}, Resplit.parse("a=0.5,b=0.5"))
    assert [row["part"] for row in rows] == ["a", "b"]
    for row in rows:
        assert row["num_images"] == row["num_items"] == row["num_groups"] == 0
        assert row["images_share"] is row["items_share"] is row["worst_deviation"] is row["worst_of"] is None


@given(groups=groups, resplit=resplits())
def test_the_shares_of_the_parts_sum_to_one(groups: list[Group], resplit: Resplit) -> None:
    rows = balance(groups, assign(groups, resplit), resplit)
    assert sum(row["num_images"] for row in rows) == sum(group.num_images for group in groups)
    assert sum(row["num_items"] for row in rows) == sum(sum(group.counts) for group in groups)
    for name in rows[0]["category_shares"]:
        shares = [row["category_shares"][name] for row in rows]
        assert shares == [None] * len(rows) or sum(shares) == pytest.approx(1)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("train=0.8,val=0.1,test=0.1", "train=0.8,val=0.1,test=0.1"),
        (" train = 0.80, val=.1 ,test=1e-1", "train=0.8,val=0.1,test=0.1"),
        ("0=0.5,a_B-9=0.5", "0=0.5,a_B-9=0.5"),
        ("a=0.333333333333,b=0.333333333333,c=0.333333333334", "a=0.333333333333,b=0.333333333333,c=0.333333333334"),
        (",".join(f"fold{n}=0.1" for n in range(10)), ",".join(f"fold{n}=0.1" for n in range(10))),
    ],
)
def test_a_division_is_read_and_written_in_one_way(text: str, written: str) -> None:
    resplit = Resplit.parse(text, 3, True)
    assert resplit.text == str(resplit) == written
    assert Resplit.parse(written, 3, True) == resplit
    assert (resplit.seed, resplit.stratify) == (3, True)


@given(resplit=resplits())
def test_a_written_division_reads_back_equal(resplit: Resplit) -> None:
    assert Resplit.parse(resplit.text, resplit.seed, resplit.stratify) == resplit


NAME_EXPECTED = "expected letters, digits, _ and -, and a letter or digit at the beginning."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"Cannot read '' in '': expected NAME=FRACTION, as in {EXAMPLE}."),
        ("train=0.8,val", f"Cannot read 'val' in 'train=0.8,val': expected NAME=FRACTION, as in {EXAMPLE}."),
        ("a=0.5,b=0.5,", f"Cannot read '' in 'a=0.5,b=0.5,': expected NAME=FRACTION, as in {EXAMPLE}."),
        ("a=half,b=0.5", f"Cannot read 'a=half' in 'a=half,b=0.5': expected NAME=FRACTION, as in {EXAMPLE}."),
        ("a=0.5=b,c=0.5", f"Cannot read 'a=0.5=b' in 'a=0.5=b,c=0.5': expected NAME=FRACTION, as in {EXAMPLE}."),
        ("=0.5,b=0.5", f"'' cannot name a part: {NAME_EXPECTED}"),
        ("../a=0.5,b=0.5", f"'../a' cannot name a part: {NAME_EXPECTED}"),
        ("-a=0.5,b=0.5", f"'-a' cannot name a part: {NAME_EXPECTED}"),
        ("ä=0.5,b=0.5", f"'ä' cannot name a part: {NAME_EXPECTED}"),
        ("a=0.5,a=0.5", "The part 'a' is named twice: expected every name once, in any case."),
        ("train=0.5,Train=0.5", "The part 'Train' is named twice: expected every name once, in any case."),
        ("a=1,b=0", "The part 'b' has the fraction 0: expected a number above 0."),
        ("a=1.5,b=-0.5", "The part 'b' has the fraction -0.5: expected a number above 0."),
        ("a=nan,b=0.5", "The part 'a' has the fraction nan: expected a number above 0."),
        ("a=inf,b=0.5", "The part 'a' has the fraction inf: expected a number above 0."),
        ("a=0.9", f"The fractions of 'a=0.9' sum to 0.9: expected 1, as in {EXAMPLE}."),
        ("a=0.8,b=0.1", f"The fractions of 'a=0.8,b=0.1' sum to 0.9: expected 1, as in {EXAMPLE}."),
        ("a=80,b=20", f"The fractions of 'a=80.0,b=20.0' sum to 100: expected 1, as in {EXAMPLE}."),
        ("a=0.5,b=0.5000001", f"The fractions of 'a=0.5,b=0.5000001' sum to 1.0000001: expected 1, as in {EXAMPLE}."),
    ],
)  # fmt: skip
def test_what_is_no_division_is_answered_with_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Resplit.parse(text)
    assert str(caught.value) == message
    assert caught.value.exit_code == 2


def test_a_division_that_is_made_without_a_text_is_checked_too() -> None:
    with pytest.raises(UsageError, match=r"sum to 0\.6"):
        Resplit((("a", 0.5), ("b", 0.1)))
    with pytest.raises(UsageError, match="at least one part"):
        Resplit(())
