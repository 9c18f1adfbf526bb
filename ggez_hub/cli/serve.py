"""`serve`: a folder as a small Hugging Face hub, until it is interrupted."""

from __future__ import annotations

from pathlib import Path

import click

from ggez_hub.cli.output import Output, output_options
from ggez_hub.cli.parameters import FILE, NEW_FOLDER, listening_options
from ggez_hub.errors import GgezError, UsageProblem


@click.command("serve")
@click.option(
    "--root",
    required=True,
    type=NEW_FOLDER,
    help="The folder of the hub; it is made if it does not exist.",
)
@listening_options
@click.option(
    "--accounts",
    type=FILE,
    help="Users to add at the start: a YAML list of {name, fullname, token, orgs}.",
)
@click.option(
    "--certificate", type=FILE, help="Speak HTTPS, with this certificate and its chain (PEM)."
)
@click.option("--key", type=FILE, help="The key of --certificate, if that file does not hold it.")
@click.option(
    "--public-url",
    help="The address by which all clients reach the hub, as https://hub.example.org before a proxy.",
)
@click.option(
    "--trust-proxy",
    "proxies",
    multiple=True,
    metavar="ADDRESS",
    help="A proxy, or a network of them, whose X-Forwarded-Proto is believed.",
)
@click.option(
    "--allow-origin",
    "origins",
    multiple=True,
    metavar="URL",
    help="Web pages that may call the hub from a browser, as transformers.js does; * for all.",
)
@click.option(
    "--allowed-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="A name by which the hub may be called, besides its addresses, localhost and --public-url.",
)
@click.option(
    "--webhook-host",
    "webhook_hosts",
    multiple=True,
    metavar="HOST",
    help="A host to which webhooks may be sent, of `hub webhook add` and of users; to others none are.",
)
@click.option(
    "--jobs",
    is_flag=True,
    help="Offer jobs: whoever has a token that writes can run any command here, as you. For tests.",
)
@output_options
def serve_command(
    root: Path,
    host: str,
    port: int,
    accounts: Path | None,
    certificate: Path | None,
    key: Path | None,
    public_url: str | None,
    proxies: tuple[str, ...],
    origins: tuple[str, ...],
    hosts: tuple[str, ...],
    webhook_hosts: tuple[str, ...],
    jobs: bool,
    out: Output,
) -> None:
    """Serve a folder as a small Hugging Face hub.

    The unmodified client speaks to it: HF_ENDPOINT=http://127.0.0.1:8000 hf upload org/name FILE.
    It needs no other service and keeps everything in the folder. Ctrl-C ends it.
    """
    from ggez_hub.embedded import HubError, Network, SessionError, is_loopback, serve

    if jobs and (public_url or proxies or not is_loopback(host)):
        raise UsageProblem(
            "jobs are commands that callers run here as you: not for a hub that others can reach",
            "Leave out --jobs, or --host, --public-url and --trust-proxy.",
        )

    def announce(url: str) -> None:
        token_file = root.absolute() / "token"
        out.line(url)
        out.document({"endpoint": url, "root": str(root.absolute()), "token_file": str(token_file)})
        out.note(f"The owner's token is in {token_file}")
        if not is_loopback(host) and certificate is None:
            out.note(
                f"Listening on {host}: others on the network can reach this hub, over plain HTTP. "
                "Give --certificate, or put a TLS proxy in front of it and give its --public-url."
            )

    try:
        network = Network(public_url, proxies, origins, hosts, certificate, key)
        serve(
            root,
            host,
            port,
            accounts,
            network=network,
            announce=announce,
            webhook_hosts=webhook_hosts,
            jobs=jobs,
        )
    except HubError as error:
        if error.status < 500:
            raise UsageProblem(error.message) from error
        cannot_listen = error.message.startswith("cannot listen")
        raise GgezError(
            error.message, "Choose another --port or --host." if cannot_listen else ""
        ) from error
    except SessionError as error:
        raise GgezError(str(error), "Use that one, or stop it first.") from error
