"""Errors of reading data through DVC: the cause, and the commands that help."""

from __future__ import annotations

import logging

from registry.errors import StorageError, first_names
from registry.history.dvc_view import View, Wanted
from registry.storage.timeouts import VARIABLE, is_timeout, network_timeout, server_of

#: Names of missing files in a message.
MAX_NAMES = 3


def error_text(error: BaseException) -> str:
    """Return the texts of an error and its causes in a line."""
    causes = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    return ": ".join(dict.fromkeys(" ".join(str(cause).split()) or type(cause).__name__ for cause in causes))


def root_cause(error: BaseException) -> BaseException:
    """Return the first error in the chain of causes."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def is_unreachable(error: BaseException) -> bool:
    """Return whether an error says that a remote cannot be reached, and not only that a file does not exist."""
    # For a silent web server, fsspec reports that the file does not exist.
    return is_timeout(error) or not isinstance(root_cause(error), FileNotFoundError)


def logged_errors(log: list[logging.LogRecord]) -> list[BaseException]:
    """Return the exceptions in log records."""
    return [record.exc_info[1] for record in log if record.exc_info and record.exc_info[1]]


def unreachable(view: View, wanted: Wanted, error: BaseException) -> StorageError:
    """Return the error for data that cannot be fetched."""
    cause = root_cause(error)
    text = " ".join(str(cause).split()) or type(cause).__name__
    if is_timeout(error):
        server, limit = server_of(error) or "the server", f"{VARIABLE} (now {network_timeout():g} s)"
        text = f"no answer from {server} in time; {limit} allows more"
    return StorageError(f"{wanted} is not in the cache {view.cache}, and cannot be fetched from {view.source}: {text}")


def explain_missing(view: View, wanted: Wanted, missing: list[str]) -> str:
    """Return a message with the missing files, the places that were searched, the likely reason and the remedy."""
    remotes = view.remotes
    names = first_names(missing, MAX_NAMES)
    text = f"{wanted} is not whole. Neither in the cache {view.cache} nor in {view.source}: {names}."
    push = f"Where the data still is, check out {wanted.rev} and run 'dvc push'."
    if view.imported:
        return text
    if remotes.default is None:
        return f"{text}\nIt has no default remote: 'dvc remote add -d NAME URL' makes one, to be committed. {push}"
    if view.committed.default is None:
        return (
            f"{text}\nThe .dvc/config committed at {wanted.rev} names no remote; 'dvc push -T' and '-A' leave such a "
            "revision out and say 'Everything is up to date'. Where the data still is, run 'dvc remote add --local -d "
            f"{remotes.default} {remotes.url}' and then 'DVC_SITE_CACHE_DIR=$(mktemp -d) dvc push -T' (DVC caches "
            "the list without it); and commit the remote before the next tag."
        )
    if view.committed.default in view.committed.relative:
        push += " ('dvc push -T' and '-A' take a relative url for one below '/', and push it there.)"
    return f"{text}\n{push}"
