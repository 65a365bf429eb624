"""What a route is, and how the one for a request is found."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from milepost.entities.errors import nearest
from milepost.gateway.access import Right
from milepost.gateway.call import Call, Reply
from milepost.gateway.errors import Refusal, RefusedError

Handler = Callable[[Call], Awaitable[Reply]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One row of the table that both the router and the OpenAPI document are made from.

    Attributes:
        method: HTTP method in capitals.
        path: Path; ``{name}`` stands for one whole segment.
        handler: Answers it.
        right: What a caller must be allowed.
        summary: One sentence for people.
        tag: Protocol that it belongs to.
        body: Kind of the JSON body; ``None`` without one.
        answer: Kind of the JSON answer; ``None`` where it is no JSON.
        content_type: Media type of the answer.
        body_types: Media types of a body that is not, or not only, the JSON of ``body``.
        answer_types: Media types of an answer besides ``content_type``.
        statuses: Statuses with what they mean, besides the errors that every route may give.
        headers: Request headers that it looks at, with what they say.
        query: Names in the query that it looks at, with what they say.
        errors: Body of an answer that is an error, where a protocol has a shape of its own.
    """

    method: str
    path: str
    handler: Handler
    right: Right
    summary: str
    tag: str = "native"
    body: type | None = None
    answer: type | None = None
    content_type: str = "application/json"
    body_types: tuple[str, ...] = ()
    answer_types: tuple[str, ...] = ()
    statuses: Mapping[int, str] = field(default_factory=lambda: {200: "Answered."})
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    errors: Callable[[Refusal], bytes] = Refusal.body


_MOST_REMEMBERED, _MOST_REMEMBERED_CHARS = 1024, 200
"""Paths that are found without a walk, and the longest one that is remembered."""


class Router:
    """Finds the route of a request.

    A fixed segment goes before a name, so that ``/v2/health/live`` never is a model's.

    Args:
        routes: The table; no two rows may share method and path.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        self._found: dict[tuple[str, str], tuple[Route, Mapping[str, str]]] = {}
        self._root = _Node()
        for route in self.routes:
            self._root.add(route)

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        """The route of a request, and the values of the names in its path.

        Raises:
            RefusedError: 404 if there is no such path, 405 if it takes other methods.
        """
        found = self._found.get((method, path))
        if found is None:
            found = self._walked(method, path)
            if len(path) <= _MOST_REMEMBERED_CHARS:
                if len(self._found) >= _MOST_REMEMBERED:
                    self._found.clear()
                self._found[method, path] = found
        return found

    def _walked(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        values: list[str] = []
        # One slash too many at the end is no other path.
        whole = path[:-1] if path.endswith("/") and len(path) > 1 else path
        node = self._root.walk(whole.split("/"), 1, values)
        if node is None or not node.routes:
            raise RefusedError(
                404,
                "unknown_path",
                f"there is nothing at {path[:200]!r}.",
                advice=f"{self._near(whole)}GET /v1/tasks lists what can be asked.",
            )
        route = node.routes.get("GET" if method == "HEAD" else method)
        if route is None:
            allowed = ", ".join(sorted(node.routes))
            raise RefusedError(
                405,
                "wrong_method",
                f"{path[:200]} does not take {method[:20]}.",
                advice=f"It takes {allowed}.",
                headers=((b"allow", allowed.encode()),),
            )
        return route, dict(zip(node.names, values, strict=True))

    def _near(self, path: str) -> str:
        """The nearest path of as many segments, its names as they were given."""
        given = path[:_MOST_REMEMBERED_CHARS].split("/")
        tried: set[str] = set()
        for route in self.routes:
            segments = route.path.split("/")
            if len(segments) == len(given):
                pairs = zip(segments, given, strict=True)
                tried.add("/".join(own if one[:1] == "{" else one for one, own in pairs))
        near = nearest(path[:_MOST_REMEMBERED_CHARS], sorted(tried))
        return f"Did you mean {near}? " if near else ""


class _Node:
    """A prefix of paths."""

    __slots__ = ("fixed", "names", "routes", "variable")

    def __init__(self) -> None:
        self.fixed: dict[str, _Node] = {}
        self.variable: _Node | None = None
        self.routes: dict[str, Route] = {}
        self.names: tuple[str, ...] = ()

    def add(self, route: Route) -> None:
        node, names = self, list[str]()
        for segment in route.path.split("/")[1:]:
            if segment.startswith("{"):
                names.append(segment.strip("{}"))
                node.variable = node.variable or _Node()
                node = node.variable
            else:
                node = node.fixed.setdefault(segment, _Node())
        if route.method in node.routes:
            raise ValueError(f"{route.method} {route.path} stands twice in the table")
        node.routes[route.method] = route
        node.names = tuple(names)

    def walk(self, segments: list[str], at: int, values: list[str]) -> "_Node | None":
        """The node of the path from a segment on; values of names are appended."""
        if at == len(segments):
            return self
        segment = segments[at]
        fixed = self.fixed.get(segment)
        if fixed is not None:
            found = fixed.walk(segments, at + 1, values)
            if found is not None:
                return found
        if self.variable is None or not segment:
            return None
        values.append(segment)
        found = self.variable.walk(segments, at + 1, values)
        if found is None:
            values.pop()
        return found
