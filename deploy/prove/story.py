"""What happens in the proof, in order."""

import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from deploy.prove import journeys
from deploy.prove.containers import BASE, POSTGRESQL, Podman, make_images, podman
from deploy.prove.document import ROOT, commands
from deploy.prove.machine import WHEELS, Machine, machine, make_base, run
from deploy.prove.previous import PREVIOUS, VERSION, install_previous
from deploy.prove.proxies import check_proxy
from deploy.prove.step import step
from deploy.prove.visit import MAIL_PORT, Browser, Mailbox, Unexpected, expect_text, mail_server, wait_until_ready

LOCAL, PUBLIC = "http://127.0.0.1:8000", "https://books.example.com"
THIS = "v-this"
REPOSITORY = "/srv/bookshop.git"
PLACEHOLDERS = {"vX.Y.Z": THIS, "URL-OF-THIS-REPOSITORY": REPOSITORY, "YOUR-NAME": "books.example.com"}
CUSTOMER = "ada@example.com"
SHOP = {
    "name": "Corner Books",
    "street": "1 High Street",
    "postcode": "AB1 2CD",
    "city": "Anytown",
    "country": "GB",
    "time-zone": "Europe/London",
    "currency": "GBP",
    "email": journeys.OWNER,
    "password": journeys.PASSWORD,
}
BACKUP = "shop.zip"
NO_RIGHTS = "for tool in cc gcc make git; do ! command -v $tool || exit 1; done; ! touch /opt/bookshop/x"
CERTIFICATE = "var/lib/caddy/.local/share/caddy/pki/authorities/local/root.crt"


def block(name: str, replaced: Mapping[str, str] = {}) -> str:
    return commands("deploy.md", name, {**PLACEHOLDERS, **replaced})


def tell(work: Path) -> None:
    """Run all steps in an empty folder; raises StepFailed."""
    base, shared = work / "base", {work / "bookshop.git": REPOSITORY, work / "pip": WHEELS}
    with step("Clone the repository, with the previous release"):
        clone(work / "bookshop.git")
    with step("Make an empty Debian"):
        make_base(base)
        (work / "pip").mkdir()
    with mail_server() as mailbox, podman(work / "podman") as containers, ThreadPoolExecutor(1) as beside:
        image = beside.submit(build_image, containers, base, work)
        with machine(base, work / "old", shared) as old:
            waited = live_through_an_update(old, mailbox)
        with machine(base, work / "new", shared) as new:
            open_a_shop(new, mailbox)
            restore(new, old, waited)
            put_nginx_in_front(new)
            with step("Setup B: wait until its image is built"):
                image.result()
            run_in_containers(containers, work, str(new.root / CERTIFICATE))


def clone(target: Path) -> None:
    """Make a bare clone in which the previous release and the current commit have tags."""
    run("git", "clone", "--quiet", "--bare", ROOT, target)
    try:
        run("git", "-C", target, "tag", "--force", VERSION, PREVIOUS)
    except Exception:
        raise LookupError(f"the commit of {VERSION}, {PREVIOUS}, is missing: run git fetch --unshallow") from None
    run("git", "-C", target, "tag", "--force", THIS)


class Waited(NamedTuple):
    """A reservation that was made before the update, and a token of its customer."""

    prebook_id: int
    token: str

    def check(self, address: str, certificate: str | None = None) -> None:
        """Raise Unexpected unless the customer sees there that the reservation was notified."""
        status = Browser(address, certificate, self.token).send("GET", f"/prebookings/{self.prebook_id}")["status"]
        if status != "notified":
            raise Unexpected(f"the reservation is {status} instead of notified")


def live_through_an_update(old: Machine, mailbox: Mailbox) -> Waited:
    """Run the previous release, update it while a customer waits, and make a backup."""
    with step(f"Install {VERSION} and reserve a book"):
        tokens = install_previous(old, REPOSITORY, journeys.OWNER, CUSTOMER, journeys.PASSWORD)
        staff, customer = (Browser(LOCAL, token=tokens[email]) for email in (journeys.OWNER, CUSTOMER))
        wait_until_ready(LOCAL, ["/api/v1/books"])
        book_id = journeys.sold_out_book(staff, "Tristram Shandy")
        prebook = customer.send("POST", "/prebookings", {"book_id": book_id})
        waited = Waited(prebook["id"], tokens[CUSTOMER])
    with step("Update it to this commit"):
        old.run(block("update-old"))
        old.run(block("update") + block("switch"))
        wait_until_ready(LOCAL)
    with step("Restock: whoever reserved before the update gets an e-mail"):
        journeys.restock(staff, mailbox, book_id, CUSTOMER, "Tristram Shandy")
        waited.check(LOCAL)
        old.run("bookshop check")
    with step("Back it up while it is running"):
        old.run(block("backup"))
    return waited


def open_a_shop(new: Machine, mailbox: Mailbox) -> None:
    """Set up a new shop by setup A, and sell its first book."""
    certificate = str(new.root / CERTIFICATE)
    with step("Setup A: install, set up the shop, start it behind Caddy"):
        new.run(block("install"))
        new.run(block("settings") + send_mail_to_the_proof("/etc/bookshop.env"))
        new.run(block("shop").strip() + options(SHOP))
        new.run(block("start"))
        use_own_certificates(new)
        new.run(block("caddy"))
        wait_until_ready(PUBLIC, certificates=certificate)
    with step("The units pass systemd-analyze, the proxy does what it should"):
        new.run("systemd-analyze verify bookshop.service bookshop-worker.service; systemctl reload bookshop")
        new.run("systemd-analyze security --threshold=20 bookshop.service bookshop-worker.service")
        check_proxy(PUBLIC, certificate)
    with step("The server restarts, and visitors see no error"):
        restart_unnoticed(new, Browser(PUBLIC, certificate))
    with step("A customer reserves, is notified, orders and collects"):
        sell_the_first_book(new, mailbox, certificate)


def restart_unnoticed(new: Machine, visitor: Browser) -> None:
    with ThreadPoolExecutor(1) as beside:
        restarting = beside.submit(new.run, "systemctl restart bookshop")
        while not restarting.done():
            visitor.get("/books")
        restarting.result()


def sell_the_first_book(new: Machine, mailbox: Mailbox, certificate: str) -> None:
    token = new.run(f"bookshop tokens create {journeys.OWNER} --name proof").split()[-1]
    staff, visitor = Browser(PUBLIC, certificate, token), Browser(PUBLIC, certificate)
    book_id = journeys.sold_out_book(staff, "Emma", "9780141439587")
    journeys.reserve_by_e_mail(visitor, mailbox, book_id, "ben@example.com")
    journeys.restock(staff, mailbox, book_id, "ben@example.com", "Emma")
    journeys.order(visitor, mailbox, book_id, "ben@example.com")
    journeys.collect(staff, mailbox, "ben@example.com")
    journeys.log_in(Browser(PUBLIC, certificate), journeys.OWNER, journeys.PASSWORD)
    new.run("bookshop check")
    logs = new.run("journalctl --no-pager")
    if secrets := [secret for secret in mailbox.secrets() if secret in logs]:
        raise LookupError(f"the log contains {len(secrets)} secrets of links in e-mails")


def restore(new: Machine, old: Machine, waited: Waited) -> None:
    """Restore the backup and the settings of the machine `old`, which had SQLite and has been stopped."""
    certificate = str(new.root / CERTIFICATE)
    with step("Restore the backup of the other machine on this one, into PostgreSQL"):
        for path in ("etc/bookshop.env", f"var/lib/bookshop/{BACKUP}"):
            shutil.copyfile(old.root / path, new.root / path)
        new.run(f"chown bookshop /var/lib/bookshop/{BACKUP}")
        new.run(block("postgresql"))
        new.run(block("restore", {"--replace": "--replace --yes"}))
        wait_until_ready(PUBLIC, certificates=certificate)
        waited.check(PUBLIC, certificate)
        new.run("bookshop check")


def put_nginx_in_front(new: Machine) -> None:
    with step("nginx instead of Caddy"):
        new.run("systemctl stop caddy; apt-get install --quiet --yes --no-install-recommends nginx")
        issued = "/var/lib/caddy/.local/share/caddy/certificates/local/books.example.com/books.example.com"
        live = "/etc/letsencrypt/live/books.example.com"  # where certbot puts what Let's Encrypt issues
        new.run(f"mkdir -p {live}; cp {issued}.crt {live}/fullchain.pem; cp {issued}.key {live}/privkey.pem")
        new.run(block("nginx"))
        check_proxy(PUBLIC, str(new.root / CERTIFICATE))
        new.run("systemctl stop nginx bookshop bookshop-worker; systemctl start caddy")


def compose_block(name: str, work: Path) -> str:
    """Return a block of setup B for Podman and for the folders of the proof."""
    build = f"--network=host --volume={work}/pip:{WHEELS}"
    replaced = {
        "/opt/bookshop": str(work / "code"),
        REPOSITORY: str(work / "bookshop.git"),
        "docker compose build": f"podman-compose --podman-build-args='{build}' build",
        "docker compose": "podman-compose",
    }
    return block(name, replaced)


def build_image(here: Podman, base: Path, work: Path) -> None:
    """Build the image of setup B, from images that would come from a registry."""
    make_images(here, base)
    here.run(compose_block("containers", work) + send_mail_to_the_proof(".env"))
    with open(work / "code/deploy/.env", "a", encoding="utf-8") as settings:
        settings.write(f"BASE_IMAGE={BASE}\nPOSTGRES_IMAGE={POSTGRESQL}\n")
    here.run(compose_block("compose-build", work))


def run_in_containers(here: Podman, work: Path, certificate: str | None) -> None:
    """Set up a new shop by setup B, behind the Caddy that is running."""
    with step("Setup B: start all containers, set up the shop"):
        inside = f"cd {work}/code/deploy\n"
        here.run(inside + compose_block("compose-up", work))
        wait_until_ready(LOCAL)
        here.run("podman wait bookshop_migrate_1")  # Podman's name server reloads when a container ends
        wait_until_ready(LOCAL)
        here.run(inside + compose_block("compose-shop", work).strip() + options(SHOP))
        wait_until_ready(PUBLIC, certificates=certificate)
    with step("Setup B: the shop is there, healthy, and has no compiler and no rights"):
        expect_text(Browser(PUBLIC, certificate).get("/"), "Corner Books")
        here.run("podman healthcheck run bookshop_web_1")
        here.run(f"podman exec bookshop_web_1 sh -c '{NO_RIGHTS}'")
    with step("Setup B: update it"):
        here.run(compose_block("compose-update", work))
        wait_until_ready(PUBLIC, certificates=certificate)
        here.run("podman exec bookshop_web_1 flask check")


def options(values: dict[str, str]) -> str:
    return "".join(f" --{name}='{value}'" for name, value in values.items()) + "\n"


def send_mail_to_the_proof(file: str) -> str:
    settings = f"BOOKSHOP_SMTP_URL='smtp://127.0.0.1:{MAIL_PORT}'\\nBOOKSHOP_MAIL_DELAY=0"
    return f'sed -i "s|^BOOKSHOP_SMTP_URL=.*|{settings}|" {file}\n'


def use_own_certificates(new: Machine) -> None:
    """Let Caddy issue certificates itself: only a server with a public name gets them from Let's Encrypt."""
    file = new.root / f"opt/bookshop-{THIS}/deploy/Caddyfile"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("{\n", "{\n\tlocal_certs\n\tskip_install_trust\n", 1), encoding="utf-8")
