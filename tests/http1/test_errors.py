"""How a message or an exchange can fail: words that the rest of the proxy, its metrics and logs rely on."""

from sidecar.http1.errors import End, Phase, ProtocolError


def test_an_error_keeps_what_a_client_is_told_apart() -> None:
    error = ProtocolError(431, "headers_too_large", "Too many.")
    assert (error.status, error.code, error.detail, str(error)) == (
        431,
        "headers_too_large",
        "Too many.",
        "Too many.",
    )


def test_words_are_their_own_labels() -> None:
    assert {end.value for end in End} == {end.name.lower() for end in End}
    assert {phase.value for phase in Phase} == {phase.name.lower() for phase in Phase}
