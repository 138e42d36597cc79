from sidecar.control.errors import IdempotencyKeyInvalid, IdempotencyKeyRequired


def test_the_errors_show_what_would_be_right() -> None:
    assert "`Idempotency-Key: signup-grant-alice`" in IdempotencyKeyRequired().detail
    assert "1 to 255 visible ASCII characters" in IdempotencyKeyInvalid().detail
