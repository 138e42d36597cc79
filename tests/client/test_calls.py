"""Each endpoint has its call; test_docs.py compares the source with the route table."""

import inspect

from sidecar.client import SidecarClient
from tests.support import client_source


def test_each_endpoint_has_its_call() -> None:
    for endpoint in client_source.served():
        call = getattr(SidecarClient, endpoint.name)
        assert inspect.signature(call).return_annotation is not inspect.Signature.empty
