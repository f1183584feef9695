"""What every reverse proxy in front of the shop has to do."""

import re

import httpx

from deploy.prove.visit import Browser, Unexpected

MEBIBYTE = 1024 * 1024


def check_proxy(address: str, certificate: str) -> None:
    """Check HTTPS, sizes, headers and caching through the proxy; raises Unexpected."""
    client = Browser(address, certificate).client
    plain = Browser(address.replace("https:", "http:")).client
    _answers(plain.get("/books"), {301, 308}, "plain HTTP is redirected to HTTPS")
    _answers(client.get("/metrics"), {404}, "/metrics is refused")
    _answers(client.post("/login", content=b"x" * 21 * MEBIBYTE), {413, 502}, "a large body is refused")
    _answers(
        client.post("/admin/imports", files={"file": b"x" * 30 * MEBIBYTE}), {303}, "a large file reaches the shop"
    )
    home = _answers(client.get("/", headers={"X-Forwarded-Host": "evil.example"}), {200}, "the home page is there")
    if "evil.example" in home.text or "strict-transport-security" not in home.headers:
        raise Unexpected("the shop believes a visitor's X-Forwarded-Host, or does not know that it is behind HTTPS")
    style = _answers(client.get(re.findall(r'href="(/static/[^"]+\.css)"', home.text)[-1]), {200}, "the style is there")
    if "immutable" not in style.headers["Cache-Control"]:
        raise Unexpected("static files are not cached for good")


def _answers(response: httpx.Response, statuses: set[int], what: str) -> httpx.Response:
    if response.status_code not in statuses:
        raise Unexpected(f"{what}: not so, {response.request.url} answered {response.status_code}")
    return response
