from __future__ import annotations

import ast
import copy
import dataclasses
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import auth.access
import auth.errors
from auth.access import Access, Grants, Identity, SessionAccess


def identity(
    documents: dict[str, Access] | None = None,
    sessions: dict[str, SessionAccess] | None = None,
    *,
    administrator: bool = False,
) -> Identity:
    return Identity(
        subject="alice",
        name="Alice",
        administrator=administrator,
        documents=Grants(documents or {}),
        sessions=Grants(sessions or {}),
        expires_at=1e9,
        token_id=None,
    )


PATTERNS = {
    "drafts/*": Access.READ,
    "drafts/42": Access.WRITE,
    "drafts/4*": Access.NONE,
    "drafts/team/*": Access.WRITE,
    "notes": Access.READ,
}


@pytest.mark.parametrize(
    ("name", "access"),
    [
        ("drafts/1", Access.READ),
        ("drafts/42", Access.WRITE),  # exact beats both prefixes
        ("drafts/43", Access.NONE),  # the longer prefix takes away
        ("drafts/team/a", Access.WRITE),
        ("drafts/team", Access.READ),
        ("drafts/", Access.READ),
        ("drafts", Access.NONE),
        ("drafts/*", Access.READ),  # a name that looks like a pattern is a name
        ("drafts/4*", Access.NONE),
        ("Drafts/1", Access.NONE),
        ("notes", Access.READ),
        ("notes/1", Access.NONE),
        ("", Access.NONE),
    ],
)
def test_the_most_specific_pattern_decides(name: str, access: Access) -> None:
    assert identity(PATTERNS).document_access(name) is access


def test_a_star_alone_is_every_name() -> None:
    everything = identity({"*": Access.READ}, {"*": SessionAccess.JOIN})
    assert everything.document_access("any/thing") is Access.READ
    assert everything.session_access("s1") is SessionAccess.JOIN


def test_without_a_grant_there_is_no_access() -> None:
    assert identity().document_access("drafts/1") is Access.NONE
    assert identity().session_access("s1") is SessionAccess.NONE


def test_documents_and_sessions_are_granted_apart() -> None:
    alice = identity({"s1": Access.WRITE}, {"drafts/1": SessionAccess.LEAD})
    assert alice.document_access("drafts/1") is Access.NONE
    assert alice.session_access("s1") is SessionAccess.NONE


def test_an_administrator_may_do_everything() -> None:
    admin = identity({"drafts/1": Access.READ}, administrator=True)
    assert admin.document_access("drafts/1") is Access.WRITE
    assert admin.session_access("s1") is SessionAccess.LEAD


@pytest.mark.parametrize("pattern", ["", "a*b", "**", "*a", "drafts/*/x", "a**"])
def test_a_pattern_that_is_neither_name_nor_prefix_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        Grants({pattern: Access.READ})


def test_levels_are_ordered() -> None:
    assert Access.NONE < Access.READ < Access.WRITE
    levels = SessionAccess
    assert levels.NONE < levels.OBSERVE < levels.JOIN < levels.LEAD


def test_grants_are_a_value() -> None:
    source = {"a": Access.READ}
    grants = Grants(source)
    source["a"] = Access.WRITE
    assert grants == Grants({"a": Access.READ})
    assert hash(grants) == hash(Grants({"a": Access.READ}))
    assert grants != Grants({"a": Access.WRITE})
    assert copy.deepcopy(grants).level("a") is Access.READ
    with pytest.raises(dataclasses.FrozenInstanceError):
        grants.patterns = {}  # type: ignore[misc]  # the point of the test


def naive_level(patterns: dict[str, Access], name: str) -> Access | None:
    """The law of grants, word for word."""
    if name in patterns and not name.endswith("*"):
        return patterns[name]
    matching = [p for p in patterns if p.endswith("*") and name.startswith(p[:-1])]
    return patterns[max(matching, key=len)] if matching else None


few = st.text("ab/é😀", max_size=5)


@given(
    st.dictionaries(
        st.one_of(few.filter(bool), few.map("{}*".format)), st.sampled_from(Access), max_size=12
    ),
    st.one_of(few, few.map("{}*".format)),
)
def test_grants_agree_with_the_law(patterns: dict[str, Access], name: str) -> None:
    assert Grants(patterns).level(name) == naive_level(patterns, name)


@pytest.mark.parametrize("module", [auth.access, auth.errors])
def test_the_server_side_needs_no_library(module: object) -> None:
    path = sys.modules[getattr(module, "__name__", "")].__file__ or ""
    imported = {
        node.module.split(".")[0]
        if isinstance(node, ast.ImportFrom) and node.module
        else alias.name
        for node in ast.walk(ast.parse(Path(path).read_text()))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    assert imported <= {"auth", *sys.stdlib_module_names}
