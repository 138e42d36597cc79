"""A sidecar reverse proxy that enforces credits and entitlements in front of any HTTP API."""

__version__ = "0.1.0"
