"""Three ways to send texts and receive vectors: OpenAI's SDK, Cohere's SDK, and JSON by a row's description."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import Any
from urllib.parse import quote
from weakref import finalize

from samespace.encoders.providers.answers import Answer, count, field_of, listed, matrix, same
from samespace.encoders.providers.catalogue import DIMENSION, EACH, MODEL, TASK, TEXT, TEXTS, Json, Provider
from samespace.encoders.providers.failures import Failure, of_status
from samespace.encoders.providers.keys import Key, find_key, hide, said
from samespace.errors import InvalidInput, MissingExtra
from samespace.space import Role

__all__ = ["Wire", "wire"]

_PLAIN = {"host", "accept", "accept-encoding", "connection", "content-length", "content-type", "user-agent"}


@dataclass(frozen=True, eq=False)
class Wire(ABC):
    """A way to a provider's model. Safe to use from several threads.

    Attributes:
        provider: the row.
        url: where the interface begins.
        variables: environment variables that may hold the key for that URL.
        own: the URL is the provider's, or the user's word for it, so that a key is needed.
        model: the name that is sent.
        dimension: to be asked for; None for the model's own.
        output: the kind of numbers to be asked for.
    """

    provider: Provider
    url: str
    variables: tuple[str, ...]
    own: bool
    model: str
    dimension: int | None
    output: str
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)
    _made: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def send(self, texts: Sequence[str], role: Role, timeout: float) -> Answer:
        """Send one request, once.

        Raises:
            Failure: it brought no vectors. Its text holds nothing of the request, and it has no cause or context.
            InvalidInput: there is no key.
            MissingExtra: the SDK is not installed.
        """
        client = self._client
        try:
            return self._send(client, texts, role, timeout)
        except Failure as error:
            failure = error
        except Exception as error:  # noqa: BLE001  an SDK's errors carry headers: none of them may get out
            failure = self._failure(error)
        # Raised here and not above, so that not even the context leads back to what carries the key.
        raise failure.with_traceback(None) from None

    @abstractmethod
    def _send(self, client: Any, texts: Sequence[str], role: Role, timeout: float) -> Answer:
        """Send one request; what goes wrong may be raised as it is."""

    @abstractmethod
    def _failure(self, error: Exception) -> Failure:
        """What an error of :meth:`_send` means."""

    @abstractmethod
    def _connect(self) -> Any:
        """Make the client."""

    def _closed_with_me(self, http: Any) -> Any:
        """The client of HTTP, whose connections end when nobody holds this wire any more."""
        finalize(self, http.close)
        return http

    @property
    def _client(self) -> Any:
        with self._lock:
            if "client" not in self._made:
                self._made["client"] = self._connect()
            return self._made["client"]

    @cached_property
    def _key(self) -> Key | None:
        key = find_key(self.variables)
        if key is None and self.own:
            raise InvalidInput(
                f"{self.provider.title} needs a key, and {' and '.join(self.variables)} "
                f"{'is' if len(self.variables) == 1 else 'are'} not set in the environment."
            )
        if key:
            hide(key)
        return key

    def _said(self, words: object) -> str:
        return said(str(words or ""), self._key)

    def _broken(self, error: Exception) -> Failure:
        """A failure on the way: of the error only its class is told, since its text may be a header."""
        name = type(error).__name__
        if name.startswith(("Connect", "Pool")):
            return Failure(f"no connection to {self.url} ({name})", "again")
        if "Timeout" in name:
            return Failure(f"no answer in time ({name})", "again", billed=True)
        return Failure(f"the connection broke before the whole answer came ({name})", "again", billed=True)


class _OpenAI(Wire):
    def _connect(self) -> Any:
        try:
            import openai
        except ImportError:
            raise MissingExtra(f"The provider {self.provider.title}", "openai") from None
        http = openai.DefaultHttpxClient(
            follow_redirects=False, event_hooks={} if self.own else {"request": [self._undress]}
        )
        return openai.OpenAI(
            api_key=self._key.reveal() if self._key else "none",
            base_url=self.url,
            max_retries=0,
            http_client=self._closed_with_me(http),
        )

    def _undress(self, request: Any) -> None:
        """Take off all headers but those that a stranger needs: the SDK puts on what the environment has for OpenAI."""
        for name in set(request.headers) - _PLAIN:
            if name != "authorization" or not self._key:
                del request.headers[name]

    def _send(self, client: Any, texts: Sequence[str], role: Role, timeout: float) -> Answer:  # noqa: ARG002
        import openai

        settings: dict[str, Any] = {"dimensions": self.dimension} if self.dimension else {}

        def create(encoding: str) -> Any:
            return client.embeddings.create(
                model=self.model, input=list(texts), encoding_format=encoding, timeout=timeout, **settings
            )

        encoding = self._made.get("encoding", "base64")
        try:
            answer = create(encoding)
        except (openai.BadRequestError, openai.UnprocessableEntityError):
            if self.own or "encoding" in self._made:
                raise
            encoding = "float"  # not every server that speaks the protocol knows the other
            answer = create(encoding)
        self._made["encoding"] = encoding
        data = field_of(answer, "data", list)
        usage = getattr(answer, "usage", None)
        return Answer(
            matrix([each.embedding for each in data]),
            [each.index for each in data],
            getattr(answer, "model", None),
            count(getattr(usage, "total_tokens", None)),
        )

    def _failure(self, error: Exception) -> Failure:
        import openai

        if isinstance(error, openai.APIStatusError):
            body = error.body if isinstance(error.body, dict) else {}
            words = self._said(body.get("message") or error.message)
            return of_status(error.status_code, error.response.headers, words, body.get("code") or body.get("type"))
        cause = error.__cause__ if isinstance(error, openai.APIConnectionError) else None
        return self._broken(cause if isinstance(cause, Exception) else error)


class _Cohere(Wire):
    def _connect(self) -> Any:
        try:
            import cohere
            import httpx
        except ImportError:
            raise MissingExtra(f"The provider {self.provider.title}", "cohere") from None
        # A client of our own, since the SDK's follows redirects.
        return cohere.ClientV2(
            api_key=self._key.reveal() if self._key else "none",
            base_url=self.url,
            max_retries=0,
            httpx_client=self._closed_with_me(httpx.Client(follow_redirects=False)),
            log_warning_experimental_features=False,
        )

    def _send(self, client: Any, texts: Sequence[str], role: Role, timeout: float) -> Answer:
        settings: dict[str, Any] = {"output_dimension": self.dimension} if self.dimension else {}
        # The SDK takes 5 ms for a vector of 1,536 floats, since it looks at each number. The same as base64 takes
        # nothing; it is used when the first answer, which is asked for both, shows that they are the same.
        kinds = [self.output] if self.output != "float" else self._made.get("kinds", ["float", "base64"])
        answer = client.embed(
            model=self.model,
            texts=list(texts),
            input_type=self.provider.tasks[role],
            embedding_types=kinds,
            truncate="END",
            request_options={"max_retries": 0, "timeout": timeout},
            **settings,
        )
        found = field_of(answer, "embeddings", object)
        vectors = {kind: getattr(found, "float_" if kind == "float" else kind, None) for kind in kinds}
        array = matrix(listed(vectors[kinds[0]]))
        if len(kinds) == 2:
            self._made["kinds"] = ["base64"] if same(vectors["base64"], array) else ["float"]
        meta = getattr(answer, "meta", None)
        return Answer(array, None, None, count(getattr(getattr(meta, "billed_units", None), "input_tokens", None)))

    def _failure(self, error: Exception) -> Failure:
        from cohere.core.api_error import ApiError

        if isinstance(error, ApiError) and error.status_code and not 200 <= error.status_code < 300:
            body = error.body
            words = body.get("message") if isinstance(body, dict) else getattr(body, "message", body)
            return of_status(error.status_code, error.headers or {}, self._said(words))
        return self._broken(error)


class _Json(Wire):
    @property
    def _row(self) -> Json:
        assert isinstance(self.provider.wire, Json)  # noqa: S101  as wire() chose it
        return self.provider.wire

    def _connect(self) -> Any:
        try:
            import httpx
        except ImportError:
            raise MissingExtra(f"The provider {self.provider.title}", "providers") from None
        headers = {self._row.header: self._row.prefix + self._key.reveal()} if self._key else {}
        return self._closed_with_me(httpx.Client(headers=headers, follow_redirects=False))

    def _send(self, client: Any, texts: Sequence[str], role: Role, timeout: float) -> Answer:
        row = self._row
        values = {MODEL: self.model, DIMENSION: self.dimension, TASK: self.provider.tasks.get(role)}
        path = row.path.replace(MODEL, quote(self.model, safe=""))
        response = client.post(self.url + path, json=_filled(row.body, values, list(texts)), timeout=timeout)
        if response.status_code != 200:
            words, code = _explained(response)
            raise of_status(response.status_code, response.headers, self._said(words), code)
        answer = response.json()
        rows = _dig(answer, row.rows)
        if not isinstance(rows, list):
            raise Failure(f"the answer has no list {row.rows!r}", "wrong", billed=True)
        return Answer(
            matrix([_dig(each, row.vector) for each in rows]),
            [_dig(each, row.index) for each in rows] if row.index else None,
            _dig(answer, row.model) if row.model else None,
            count(_dig(answer, row.tokens)) if row.tokens else None,
        )

    def _failure(self, error: Exception) -> Failure:
        return self._broken(error)


def wire(**settings: Any) -> Wire:
    """Make the wire that a provider's row asks for; nothing is imported or sent."""
    kinds: dict[object, type[Wire]] = {"openai": _OpenAI, "cohere": _Cohere}
    kind = settings["provider"].wire
    return (kinds[kind] if isinstance(kind, str) else _Json)(**settings)


def _filled(template: Any, values: dict[str, Any], texts: list[str]) -> Any:
    """A copy of the template with values in their places; fields whose value is None are left out."""
    if isinstance(template, str):
        if template == TEXTS:
            return texts
        return values[template] if template in values else template.replace(MODEL, values[MODEL])
    if not isinstance(template, dict):
        return [_filled(each, values, texts) for each in template] if isinstance(template, list) else template
    if EACH in template:
        return [_filled(template[EACH], {**values, TEXT: text}, texts) for text in texts]
    filled = {name: _filled(each, values, texts) for name, each in template.items()}
    return {name: value for name, value in filled.items() if value is not None}


def _dig(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _explained(response: Any) -> tuple[object, object]:
    """The words and the code of an error, in one of the shapes that these interfaces use."""
    try:
        body = response.json()
    except ValueError:
        return response.text, None
    error = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        return error, None
    return error.get("message") or error.get("detail") or error.get("status"), error.get("code")
