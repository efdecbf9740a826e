"""Conditions that ``--where`` accepts and refuses: only a single expression over the columns of items passes."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.dataset.tables import ITEMS
from registry.errors import UnknownNameError, UsageError
from registry.store.conditions import _ITEM, FUNCTIONS, TYPES, check_condition
from registry.store.sql import table_sql

COLUMNS = ", ".join(column.name for column in ITEMS.columns)
EXPECTED = "expected one SQL expression over the columns of items, such as: category_id = 1 AND x2 - x1 > 200"

ACCEPTED = [
    "true",
    "style > 0",
    "STYLE > 0 AND Items.Style < 9",
    '"style" = 1 AND "items"."x1" > 0',
    "category_id IN (1, 2) OR NOT (scale = 3)",
    "category_id NOT IN (1, 2)",
    "x2 - x1 > 2 * (y2 - y1)",
    "x1 BETWEEN 0 AND 10.5e0 AND y1 NOT BETWEEN 1_000 AND 2_000",
    "source = 'user' AND category_name LIKE '%dress' AND category_name NOT ILIKE 'VEST%' ESCAPE '!'",
    "regexp_matches(category_name, '^(short|long) sleeve') AND category_name SIMILAR TO '.*' AND source !~ 'x'",
    "category_name GLOB '*skirt*' AND lower(source) ^@ 'u' AND upper(split) || 'x' <> ''",
    "substring(category_name FROM 1 FOR 2) = 'sk' OR trim(BOTH ' ' FROM source) = 'shop' OR position('a' IN split) = 3",
    "scale IS NULL OR scale IS NOT DISTINCT FROM 2 OR (style > 0) IS NOT FALSE",
    "CASE WHEN source = 'shop' THEN style > 0 ELSE true END",
    "CASE source WHEN 'shop' THEN 1 ELSE 2 END = 2",
    "if(source = 'shop', x1, y1) > coalesce(nullif(x2, 0), 1)",
    "(x2 - x1)::INTEGER % 2 = 0 AND CAST(style AS VARCHAR) = '1' AND TRY_CAST(category_name AS INT) IS NULL",
    "x1::DECIMAL(8, 2) = 100 AND landmarks::DOUBLE[] <> []",
    "TRY(1 // style) IS NULL OR sqrt(power(x2 - x1, 2) + (y2 - y1) ** 2) > @style",
    "(split, image_id) IN (('train', 1), ('validation', 2))",
    "landmarks[1] > 0 AND landmarks[1:2] <> [0, 0] AND len(segmentation[1]) > 6",
    "list_contains(landmarks, 0) OR 1 IN landmarks OR landmarks && [1, 2]",
    "len(list_filter(segmentation, lambda p: len(p) > style)) > 0",
    "list_bool_or(list_transform(segmentation, lambda polygon, i: polygon[1] > x1 OR i > 3))",
    "list_reduce(landmarks, lambda a, b: a + b) > 0",
    "len(list_filter(segmentation, lambda p: list_max(list_filter(p, lambda v: v < len(p) + x2)) > 5)) >= 0",
    "[v for v in landmarks if v = 2] <> []",
    "{'a': x1}.a = x1",
    "style = 1 -- only the first",
    "-- the first\nstyle = 1",
    "style = 1 /* ) OR ( */",
    "category_name = ') OR (1=1' OR category_name = 'it''s -- /* ; '",
    "category_name = E'a\\')' OR category_name = $$') -- $$",
    "((style = 1))",
    "style IN ()",
    "NULL::BOOLEAN",
    " OR ".join(f"image_id = {number}" for number in range(1000)),
]

REFUSED = [
    # Nothing, or no SQL.
    ("", "empty"),
    (" \n\t", "empty"),
    ("-- nothing", "empty"),
    ("style >", r"near \">\" \(character 7\)"),
    ("source = 'ä' AND ) x", r"near \"\)\" \(character 18\)"),
    ("source = 'user", "unterminated string"),
    ('"style = 1', "unterminated quoted identifier"),
    ("true /* ", "unterminated /\\* comment"),
    ("true\0) OR (true", "zero byte"),
    ("true -- \0", "zero byte"),
    ("source = '\ud800'", "cannot be read"),
    ("x'0\xa00' * y1 = 1", "it holds a wrong literal"),
    ("(" * 5000 + "true" + ")" * 5000, "nested too deeply"),
    ("NOT " * 200 + "true", "nested too deeply"),
    # More than one expression.
    ("1=1) UNION SELECT 1 -- ", "cannot be read"),
    ("1=1) UNION (SELECT 1", "cannot be read"),
    ("style = 1) OR (1=1", "cannot be read"),
    ("style = 1) AND random() < (0.5", "cannot be read"),
    ("true)) OR ((true", "cannot be read"),
    ("true); DROP TABLE items; --", "cannot be read"),
    ("true /* */ ) -- ", "cannot be read"),
    ("true; DROP TABLE items", "goes on"),
    ("true; SELECT 1", "goes on"),
    ("true;", "cannot be read"),
    ("true, false", "cannot be read"),
    ("true UNION SELECT 1", "goes on"),
    ("true UNION ALL FROM items", "goes on"),
    ("true ORDER BY x1", "goes on"),
    ("true LIMIT 1", "goes on"),
    ("true GROUP BY ALL", "goes on"),
    ("true HAVING true", "goes on"),
    ("true QUALIFY true", "goes on"),
    ("true USING SAMPLE 1", "goes on"),
    ("true WINDOW w AS ()", "cannot be read"),
    ("true AS found", "cannot be read"),
    # Beyond the item.
    ("EXISTS (SELECT 1)", "a subquery"),
    ("image_id IN (SELECT image_id FROM images)", "a subquery"),
    ("style = (SELECT max(style) FROM items)", "a subquery"),
    ("style = (FROM items)", "a subquery"),
    ("style = ANY (SELECT 1)", "a subquery"),
    ("style = ANY ([1])", "a subquery"),
    ("len(ARRAY (SELECT 1)) = 1", "a subquery"),
    ("len(list_filter(landmarks, lambda n: n IN (SELECT 1))) = 1", "a subquery"),
    ("EXISTS (FROM '/etc/passwd')", "a subquery"),
    ("count(*) > 1", "calls 'count_star'"),
    ("max(style) = style", "calls 'max'"),
    ("sum(x1) FILTER (true) > 1", "calls 'sum'"),
    ("row_number() OVER () = 1", "a window function"),
    ("max(style) OVER (PARTITION BY split) = style", "a window function"),
    ("GROUPING(style) = 1", "GROUPING"),
    ("unnest(landmarks) = 1", "calls 'unnest'"),
    ("*", "[*] or COLUMNS"),
    ("items.* IS NULL", "[*] or COLUMNS"),
    ("COLUMNS(*) > 0", "[*] or COLUMNS"),
    ("COLUMNS('x.') > 0", "[*] or COLUMNS"),
    ("len([*COLUMNS('x.')]) > 0", "UNPACK"),
    ("style = $style", "a parameter"),
    ("style = ?", "a parameter"),
    ("style = ? AND scale = $x", "cannot be read"),
    ("#1 = 'train'", "a position"),
    ("style = DEFAULT", "DEFAULT"),
    ("category_name COLLATE nocase = 'SKIRT'", "COLLATE"),
    ("landmarks -> '$[0]' = 1", "holds ->"),
    ("len(list_filter(landmarks, n -> n > 0)) > 1", "holds ->"),
    # Functions and types that read, write, or give something else another day.
    *[
        (f"{call} IS NOT NULL", "which it may not")
        for call in (
            "read_text('/etc/passwd')",
            "READ_TEXT('/etc/passwd')",
            "\"read_text\"('/etc/passwd')",
            "read_blob('/etc/passwd')",
            "glob('/*')",
            "getenv('HOME')",
            "current_setting('threads')",
            "getvariable('x')",
            "set_config('threads', '1', false)",
            "now()",
            "today()",
            "current_date()",
            "random()",
            "uuid()",
            "nextval('s')",
            "query('SELECT 1')",
            "query_table('items')",
            "current_user()",
            "version()",
            "hash(x1)",
            "error('x')",
            "sleep_ms(1)",
            "write_log('x')",
            "range(1000000000000)",
            "repeat('x', 1000000000)",
            "list_aggregate(landmarks, 'sum')",
            "to_days(1)",
            "struct_insert({'a': 1}, b := read_text('/etc/passwd'))",
            "list_transform(landmarks, lambda n: random())",
            "[random() for n in landmarks]",
            "CASE WHEN true THEN 1 ELSE random() END",
            "coalesce(style, random())",
            "landmarks[random()]",
            "(style BETWEEN random() AND 1)",
            "random()::INTEGER",
            "abs(style + random())",
        )
    ],
    ("main.abs(style) = 1", r"calls main\.abs\(\)"),
    ("system.main.random() < 1", r"calls system\.main\.random\(\)"),
    ("category_name.lower() = 'skirt'", r"calls category_name\.lower\(\)"),
    ("'2020-01-01'::DATE > '2019-01-01'::DATE", "casts to DATE"),
    ("source::TIMESTAMPTZ IS NULL", "casts to TIMESTAMPTZ"),
    ("source::main.INTEGER = 1", r"casts to main\.INTEGER"),
    ("landmarks::JSON IS NULL", "casts to JSON"),
    ("landmarks::DATE[] IS NULL", "casts to DATE"),
    # Names.
    ("stile = 1", "Unknown column 'stile'. Did you mean 'style'?"),
    ('source = "user"', "Unknown column 'user'.*Text stands in single quotes"),
    ("items IS NULL", "Unknown column 'items'"),
    ("images.style = 1", "Unknown column 'images.style'"),
    ("main.items.style = 1", "Unknown column 'main.items.style'"),
    ("items.style.x = 1", "Unknown column 'items.style.x'"),
    ("rowid = 1", "Unknown column 'rowid'"),
    ("current_date IS NULL", "Unknown column 'current_date'"),
    ("current_user IS NULL", "Unknown column 'current_user'"),
    ("len(list_filter(landmarks, lambda n: m > 0)) > 1", "Unknown column 'm'"),
    ("len(list_filter(landmarks, lambda n: n > 0)) > n", "Unknown column 'n'"),
    # Types.
    ("style + 1", "gives INTEGER"),
    ("'true'", "gives VARCHAR"),
    ("NULL", 'gives "NULL"'),
    ("landmarks", r"gives INTEGER\[\]"),
    ("style = 'x' + 1", "does not fit"),
    ("style = 'x'", "Could not convert string 'x' to INT32"),
    ("category_name = 1", "Could not convert string 'skirt' to INT32"),
    ("abs(style, 1) = 1", "No function matches"),
    ("abs(DISTINCT style) = 1", "does not fit"),
    ("abs(value := style) = 1", "does not fit"),
    ("regexp_matches(category_name, '(')", "does not fit"),
    ("len(list_filter(segmentation, lambda p: p.x > 1)) > 0", "does not fit"),
]


@pytest.fixture(scope="module")
def items() -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a database that cannot reach a file, with three items."""
    with duckdb.connect(config={"enable_external_access": "false"}) as connection:
        connection.execute(f"CREATE TABLE items AS {table_sql(ITEMS, ())}")
        for number in (1, 2, 3):
            values = [*(_ITEM | {"item_no": number, "style": number - 1}).values()]
            connection.execute(f"INSERT INTO items VALUES ({', '.join('?' * len(values))})", values)
        yield connection


@pytest.mark.parametrize("text", ACCEPTED, ids=lambda text: text[:40])
def test_an_expression_over_the_columns_of_items_is_a_condition(text: str, items: duckdb.DuckDBPyConnection) -> None:
    check_condition(text)
    assert items.execute(f"SELECT count(*) FROM items WHERE (\n{text}\n) OR true").fetchall() == [(3,)]


@pytest.mark.parametrize(("text", "reason"), REFUSED, ids=lambda text: text[:40])
def test_everything_else_is_refused(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as caught:
        check_condition(text)
    assert caught.value.exit_code == 2


def _nested(text: str, times: int) -> str:
    for _ in range(times):
        text = f"list_transform({text}, lambda x: x || x)"
    return f"len({text}) = 1"


@pytest.mark.parametrize(
    "text",
    [
        "len(list_reduce([source for n in landmarks], lambda a, b: a || a)) > 1",
        "len(list_reduce([[n] for n in landmarks], lambda a, b: list_concat(a, a))) > 1",
        "len(list_reduce([source for n in landmarks], lambda a, b: replace(a, 'u', 'uu'))) > 1",
        "len(list_reduce([source for n in landmarks], lambda a, b: regexp_replace(a, '.', '\\0\\0', 'g'))) > 1",
        "list_reduce([{'a': source} for n in landmarks], lambda a, b: {'a': a.a || a.a}).a = 'x'",
        "len(list_reduce([[n] for n in landmarks], lambda a, b: flatten([a, a]))) > 1",
        _nested("[source]", 40),
        "len(" + "replace(" * 30 + "source" + ", 'u', 'uu')" * 30 + ") > 1",
        "len(" + "regexp_replace(" * 30 + "source" + ", '(.)', '\\1\\1', 'g')" * 30 + ") > 1",
        "len([[[[1 for a in landmarks] for b in landmarks] for c in landmarks] for d in landmarks]) > 1",
        "len([[[[1 for d in c] for c in segmentation] for b in segmentation] for a in landmarks]) > 1",
    ],
    ids=lambda text: text[:60],
)
def test_a_condition_whose_values_grow_without_bound_is_refused_before_it_is_run(text: str) -> None:
    begin = time.monotonic()
    with pytest.raises(UsageError, match="may take too much memory or time on a single item"):
        check_condition(text)
    assert time.monotonic() - begin < 20


@pytest.mark.parametrize(
    "text",
    [
        "list_reduce(landmarks, lambda a, b: a + b) > 10",
        "list_reduce(string_split(category_name, ' '), lambda a, b: a || '_' || b) = 'short_sleeve_top'",
        "replace(replace(category_name, ' ', '_'), 'e', 'ee') = 'skirt'",
        "regexp_replace(lower(category_name), '[^a-z]+', '-', 'g') LIKE 'short-%'",
        "len([p for p in segmentation if len([v for v in p if v > 3000]) > 0]) = 0",
        "list_max(list_transform(segmentation, lambda p: list_max(p))) < 1000",
        "len(flatten(segmentation)) > 20",
        "list_sum([(p[1] - x1) ** 2 for p in segmentation]) >= 0",
        "len([n for n, i in landmarks if i % 3 = 0 AND n = 2]) > 3",
    ],
)
def test_a_condition_may_look_at_every_landmark_and_polygon(text: str) -> None:
    check_condition(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"The condition is empty: {EXPECTED}."),
        (
            "category_id = 1 AND (style > 0 OR)",
            'The condition cannot be read: syntax error at or near ")" (character 34). '
            f"E{EXPECTED.removeprefix('e')}.",
        ),
        ("true LIMIT 1", f"The condition goes on behind its expression: {EXPECTED}."),
        ("style = (SELECT 1)", f"The condition holds a subquery: {EXPECTED}."),
        ("x2 - x1", f"The condition gives DOUBLE, not BOOLEAN: {EXPECTED}."),
        ("catgory_id = 1", f"Unknown column 'catgory_id'. Did you mean 'category_id'? There is: {COLUMNS}. "
         "Text stands in single quotes."),
        (
            "x1 > 0 AND regex_matches(source, 'u')",
            "The condition calls 'regex_matches', which it may not. Did you mean 'regexp_matches'? It may call: "
            + ", ".join(sorted(name for name in FUNCTIONS if name[0].isalpha()))
            + ".",
        ),
        (
            "category_name.lower() = 'skirt'",
            "The condition calls category_name.lower(): expected a function without a prefix: f(x), not x.f().",
        ),
        (
            "source::DATE = '2020-01-01'",
            "The condition casts to DATE: expected BOOLEAN, VARCHAR, a type of numbers or a list of these.",
        ),
        (
            "scale > 0\nAND category_name > 1",
            "The condition does not fit the columns of items. Binder Error: Cannot compare values of type VARCHAR and "
            "type INTEGER_LITERAL - an explicit cast is required\n\n"
            "LINE 2: AND category_name > 1\n"
            "            ^^^^^^^^^^^^^^^^^",
        ),
    ],
)  # fmt: skip
def test_the_message_has_the_problem_and_the_expectation(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_condition(text)
    assert str(caught.value) == message


def test_an_unknown_column_is_an_unknown_name() -> None:
    with pytest.raises(UnknownNameError):
        check_condition("size = 1")


def test_the_item_to_try_conditions_out_on_has_every_column() -> None:
    assert list(_ITEM) == [column.name for column in ITEMS.columns]


def test_allowed_functions_exist_and_depend_on_their_arguments_only() -> None:
    with duckdb.connect() as connection:
        actual = connection.execute(
            "SELECT function_name, function_type, stability, macro_definition FROM duckdb_functions() "
            "WHERE list_contains($names, function_name)",
            {"names": sorted(FUNCTIONS)},
        ).fetchall()
        types = {name for (name,) in connection.execute("SELECT type_name FROM duckdb_types()").fetchall()}
    scalar = {name for name, kind, _, _ in actual if kind in ("scalar", "macro")}
    assert sorted(FUNCTIONS - scalar) == []
    assert {stability for _, kind, stability, _ in actual if kind == "scalar"} == {"CONSISTENT"}
    macros = {name: definition for name, kind, _, definition in actual if kind == "macro"}
    assert sorted(name for name in macros if not name.startswith("list_")) == ["fmod", "if", "nullif", "split_part"]
    called = {call for definition in macros.values() for call in re.findall(r"\b(\w+)\(", definition)}
    assert called <= {"list_aggr", "string_split", "trunc", "if", "CAST", "list_extract", "COALESCE", "floor"}
    assert sorted(TYPES - types) == []


SOUND = st.recursive(
    st.sampled_from(
        ["style > 0", "true", "source = 'user'", "x2 - x1 > 10", "1 IN landmarks", "category_name LIKE '%)'"]
    ),
    lambda inner: st.one_of(
        st.builds("({} AND {})".format, inner, inner),
        st.builds("{} OR {}".format, inner, inner),
        st.builds("NOT {}".format, inner),
        st.builds("CASE WHEN {} THEN {} END".format, inner, inner),
        st.builds("len(list_filter(landmarks, lambda n: n > 0 AND {})) > 1".format, inner),
    ),
    max_leaves=4,
)
#: Pieces of attacks, among harmless pieces.
PIECES = (
    "style x1 items.x2 landmarks 1 0 'user' ')' '--' true NULL ( ) [ ] , = > + - AND OR NOT IN IS BETWEEN CASE END "
    "-- /* */ ; ' \" $$ $a ? #1 * abs( len( lambda random() read_text('x') count(*) ::INTEGER ::DATE UNION SELECT FROM "
    "items WHERE LIMIT OVER EXISTS( ))OR((true )UNION(SELECT(1"
)
INSERTED = st.lists(st.tuples(st.integers(0, 40), st.sampled_from(PIECES.split())), max_size=3)
GAPS = st.sampled_from([" ", "\n", ""])


@st.composite
def mixed(draw: st.DrawFn) -> str:
    """Draw a sound condition with pieces of others between its words."""
    words = draw(SOUND).split()
    for place, piece in draw(INSERTED):
        words.insert(place % (len(words) + 1), piece)
    return "".join(word + draw(GAPS) for word in words)


@given(text=st.one_of(mixed(), st.text(max_size=20)))
def test_accepted_conditions_stay_between_their_parentheses(text: str, items: duckdb.DuckDBPyConnection) -> None:
    try:
        check_condition(text)
    except UsageError:
        return
    within = f"(\n{text}\n)"
    assert len(items.extract_statements(f"SELECT item_no FROM items WHERE {within}")) == 1
    # No condition can undo the conditions beside it or add rows.
    assert items.execute(f"SELECT item_no FROM items WHERE {within} AND false").fetchall() == []
    assert items.execute(f"SELECT item_no FROM items WHERE false AND {within}").fetchall() == []
    try:
        actual = items.execute(f"SELECT item_no FROM items WHERE {within} ORDER BY ALL").fetchall()
    except (duckdb.ConversionException, duckdb.InvalidInputException, duckdb.OutOfRangeException):
        return  # an error of the values, such as a division by zero
    assert [number for (number,) in actual] == sorted({1, 2, 3} & {number for (number,) in actual})


@given(text=SOUND)
def test_sound_conditions_pass(text: str) -> None:
    check_condition(text)
