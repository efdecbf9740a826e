"""The landmarks of predictions in any of the lists that models write, as x and y of those of the category."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Final

import msgspec
import numpy as np

from registry.dataset.deepfashion2 import CATEGORIES, NUM_LANDMARK_SLOTS

#: Offset and number of landmarks by category_id; 0 for none.
_OFFSETS: Final = np.array([0, *(category.landmark_offset for category in CATEGORIES)])
_NUMBERS: Final = np.array([0, *(category.num_landmarks for category in CATEGORIES)])
#: Numbers of a landmark: x, y and a third that is not read; or x, y.
_STEPS: Final = (3, 2)
_EXPECTED: Final = (
    f"{3 * NUM_LANDMARK_SLOTS} numbers (x, y and a visibility of every slot), 3 for each landmark of the category, or 2"
)


Report = Callable[..., None]


class LandmarkLists:
    """Lists of landmarks of records.

    Args:
        numbers: float64, of all lists, one after the other.
        offsets: int64 (n + 1) into ``numbers``.
        has_list: bool, which records have a list.
        num_left_out: int64, numbers of each list that were passed over, as they are of other categories.
    """

    def __init__(
        self,
        numbers: np.ndarray,
        offsets: np.ndarray,
        has_list: np.ndarray,
        num_left_out: np.ndarray | None = None,
    ) -> None:
        self._numbers = numbers
        self._offsets = offsets
        self._has_list = has_list
        self._num_left_out = np.zeros(len(has_list), np.int64) if num_left_out is None else num_left_out

    def read(
        self, category_id: np.ndarray, found: np.ndarray, report: Report, is_whole: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return x and y of the landmarks of each record's category, and how many numbers each record has of them.

        Args:
            category_id: of each record.
            found: positions of the records that are read; the others have no numbers.
            report: notes records that are wrong.
            is_whole: of which records :meth:`all_slots` is called; here of all that have the numbers.
        """
        num_records = len(self._has_list)
        is_found = np.zeros(num_records, bool)
        is_found[found] = True
        lengths = np.diff(self._offsets)
        of_file = lengths + self._num_left_out
        number = np.where(is_found, _NUMBERS[category_id], 0)
        start, step = np.zeros(num_records, np.int64), np.zeros(num_records, np.int64)
        for width in _STEPS:
            is_union = (of_file == width * NUM_LANDMARK_SLOTS) & is_found
            step[is_union | (is_found & (of_file == width * number))] = width
            has_others = is_union & (self._num_left_out == 0)
            start[has_others] = (width * _OFFSETS[category_id])[has_others]
        is_read = is_found & self._has_list & (step > 0)
        report(is_found & ~self._has_list, "records without keypoints", "image_id, category_id, score and keypoints")
        report(
            is_found & self._has_list & (step == 0),
            *("records with keypoints of the wrong length", _EXPECTED, lambda k: f"{of_file[k]:,} numbers"),
        )
        number = np.where(is_read, number, 0)
        owner = np.repeat(np.arange(num_records), number)
        place = np.arange(len(owner)) - np.repeat(np.cumsum(number) - number, number)
        at = (self._offsets[:-1] + start)[owner] + step[owner] * place
        landmarks = np.empty(2 * len(owner))
        landmarks[0::2] = self._numbers[at]
        landmarks[1::2] = self._numbers[at + 1]
        is_infinite = np.zeros(num_records, bool)
        is_infinite[owner[~np.isfinite(landmarks.reshape(-1, 2)).all(1)]] = True
        report(is_infinite, "records with keypoints that are not finite", "finite numbers, px")
        return landmarks, 2 * number

    def all_slots(self, k: int) -> np.ndarray | None:
        """Return x and y of all slots of a record, (294, 2); None if its list has no other slots."""
        numbers = self._numbers[self._offsets[k] : self._offsets[k + 1]]
        for width in _STEPS:
            if len(numbers) == width * NUM_LANDMARK_SLOTS:
                return numbers.reshape(NUM_LANDMARK_SLOTS, width)[:, :2].copy()
        return None


#: Characters of numbers, and those between them.
_NUMERIC: Final = b"0123456789+-.eE, \t\r\n"
_decode_lists: Final = msgspec.json.Decoder(list[list[float]]).decode


class JsonLandmarkLists:
    """Lists of landmarks in JSON texts.

    Most numbers of a list of 294 slots are those of other categories: their text is passed over.

    Args:
        texts: of each record; None without a list.
    """

    def __init__(self, texts: Sequence[bytes | None]) -> None:
        self._texts = texts
        self._lists: LandmarkLists | None = None

    def read(
        self, category_id: np.ndarray, found: np.ndarray, report: Report, is_whole: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return x and y of the landmarks of each record's category; see :meth:`LandmarkLists.read`."""
        texts = self._texts
        num_records = len(texts)
        pieces, num_left_out = [b"[]"] * num_records, np.zeros(num_records, np.int64)
        long = []
        for k in found.tolist():
            text = texts[k]
            if text is not None:
                pieces[k] = text
                if len(text) > 2 * NUM_LANDMARK_SLOTS and (is_whole is None or not is_whole[k]):
                    long.append(k)
        at = np.array(long, np.int64)
        for k, piece, number in zip(long, *_of_categories([pieces[k] for k in long], category_id[at]), strict=True):
            pieces[k], num_left_out[k] = piece, number
        lists, reasons = _read_lists(pieces)
        lengths = np.fromiter(map(len, lists), np.int64, num_records)
        has_reason = np.zeros(num_records, bool)
        has_reason[list(reasons)] = True
        report(
            has_reason,
            *(
                "records with keypoints that are no flat list of numbers",
                "x, y and a visibility of every landmark",
                lambda k: reasons[k],
            ),
        )
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        numbers = np.fromiter(chain.from_iterable(lists), np.float64, int(offsets[-1]))
        has_list = np.fromiter((text is not None for text in texts), bool, num_records)
        self._lists = LandmarkLists(numbers, offsets, has_list, num_left_out)
        return self._lists.read(category_id, found[~has_reason[found]], report)

    def all_slots(self, k: int) -> np.ndarray | None:
        """Return x and y of all slots of a record, (294, 2); None if its list has no other slots."""
        assert self._lists is not None
        return self._lists.all_slots(k)


def _of_categories(texts: Sequence[bytes], category_id: np.ndarray) -> tuple[list[bytes], list[int]]:
    """Return the part of each list of all slots that has those of its category, and how many numbers it leaves out.

    A list of another length, or of other values than numbers, is returned as it is.
    """
    joined = b"".join(texts)
    ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
    starts = ends - [len(text) for text in texts]
    commas = np.flatnonzero(np.frombuffer(joined, np.uint8) == ord(","))
    first_comma, last_comma = np.searchsorted(commas, starts), np.searchsorted(commas, ends)
    number = last_comma - first_comma + 1
    width = number // NUM_LANDMARK_SLOTS
    is_union = (number % NUM_LANDMARK_SLOTS == 0) & np.isin(width, _STEPS)
    is_numeric = joined.translate(None, _NUMERIC) == b"[]" * len(texts)
    if not is_numeric:
        is_union &= [text.translate(None, _NUMERIC) == b"[]" for text in texts]
    skipped, of_category = width * _OFFSETS[category_id], width * _NUMBERS[category_id]
    if not is_union.any():
        return list(texts), [0] * len(texts)
    # Between the comma before the first number of the category, or the bracket, and that behind its last.
    first, last = first_comma + skipped - 1, first_comma + skipped + of_category - 1
    before = np.where(skipped > 0, commas[np.clip(first, 0, len(commas) - 1)], starts)
    behind = np.where(last < last_comma, commas[np.clip(last, 0, len(commas) - 1)], ends - 1)
    pieces = [
        b"[%b]" % joined[low + 1 : high] if is_cut else text
        for text, low, high, is_cut in zip(texts, before.tolist(), behind.tolist(), is_union.tolist(), strict=True)
    ]
    return pieces, np.where(is_union, number - of_category, 0).tolist()


def _read_lists(pieces: Sequence[bytes]) -> tuple[list[list[float]], dict[int, str]]:
    """Return the lists in JSON texts, and by position the reason why a text holds none; it has then an empty list."""
    try:
        return _decode_lists(b"[%b]" % b",".join(pieces)), {}
    except (msgspec.DecodeError, UnicodeDecodeError):
        reasons: dict[int, str] = {}
        return [_read_list(piece, k, reasons) for k, piece in enumerate(pieces)], reasons


def _read_list(text: bytes, k: int, reasons: dict[int, str]) -> list[float]:
    """Return a list that may hold NaN and Infinity, which are no JSON; an empty one after noting why it is none."""
    try:
        values: Any = json.loads(text)
        return msgspec.convert(values, list[float])
    except (ValueError, RecursionError, OverflowError, msgspec.ValidationError) as error:
        reasons[k] = str(error).partition(" - at")[0]
        return []
