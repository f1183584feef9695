"""The release before this one, installed as its own docs/deploy.md says."""

from deploy.prove.machine import Machine

VERSION = "v0.6.0"
PREVIOUS = "8133b0d"  # its commit: a clone may have no tags
UNITS = {
    "bookshop": ".venv/bin/gunicorn --bind 127.0.0.1:8000 --workers 2 --worker-class bookshop.web.server.Buffering "
    "--threads 8 --no-control-socket wsgi:app",
    "bookshop-worker": ".venv/bin/flask worker",
}
UNIT = """[Service]
User=bookshop
WorkingDirectory=/opt/bookshop
EnvironmentFile=/etc/bookshop.env
ExecStart=/opt/bookshop/{command}
KillMode=mixed
Restart=always
"""
INSTALL = """
apt-get update --quiet
apt-get install --quiet --yes --no-install-recommends git python3-venv
useradd --system --create-home --home-dir /var/lib/bookshop bookshop
git clone --quiet --branch {version} {repository} /opt/bookshop
cd /opt/bookshop
python3 -m venv .venv
.venv/bin/pip install --quiet -c constraints.txt -e .
cat > /etc/bookshop.env <<'END'
BOOKSHOP_SECRET_KEY='0123456789abcdef0123456789abcdef'
BOOKSHOP_DATABASE_URL='sqlite:////var/lib/bookshop/shop.db'
BOOKSHOP_COVERS='/var/lib/bookshop/covers'
BOOKSHOP_SHOP_NAME='Corner Books'
BOOKSHOP_BASE_URL='https://books.example.com'
BOOKSHOP_SMTP_URL='smtp://127.0.0.1:2525'
BOOKSHOP_MAIL_DELAY=0
BOOKSHOP_TRUSTED_PROXIES=1
END
chown bookshop /etc/bookshop.env && chmod 600 /etc/bookshop.env
"""
FLASK = "cd /opt/bookshop; set -a; . /etc/bookshop.env; runuser -u bookshop -- .venv/bin/flask"


def install_previous(old: Machine, repository: str, owner: str, customer: str, password: str) -> dict[str, str]:
    """Install and start the previous release with an owner and a customer; return their API tokens."""
    old.run(INSTALL.format(version=VERSION, repository=repository))
    for name, command in UNITS.items():
        unit = old.root / f"etc/systemd/system/{name}.service"
        unit.write_text(UNIT.format(command=command), encoding="ascii")
    old.run(f"{FLASK} db upgrade")
    tokens = {}
    for email, role in ((owner, "--staff"), (customer, "")):
        old.run(f"{FLASK} users create {email} {role} --password '{password}'")
        tokens[email] = old.run(f"{FLASK} tokens create {email} --name proof").split()[-1]
    old.run("systemctl start bookshop bookshop-worker")
    return tokens
