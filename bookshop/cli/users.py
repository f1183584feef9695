"""flask users, flask tokens."""

import click
from flask.cli import AppGroup

from bookshop.accounts.models import CUSTOMER, STAFF
from bookshop.accounts.scopes import SCOPES
from bookshop.accounts.service import DAYS_MAX
from bookshop.cli.refusals import refusals_as_messages
from bookshop.web import services

users = AppGroup("users", help="Create, deactivate and reactivate users.")
tokens = AppGroup("tokens", help="API tokens for scripts.")


@users.command("create")
@click.argument("email")
@click.option("--staff", is_flag=True, help="Make a member of staff instead of a customer.")
@click.option("--password", prompt=True, hide_input=True, confirmation_prompt=True)
@refusals_as_messages
def create_user(email: str, staff: bool, password: str) -> None:
    """Create a user."""
    role = STAFF if staff else CUSTOMER
    user = services.commit(lambda: services.accounts().register(email, password, role))
    click.echo(f"Created {role} {user.email}.")


@users.command("deactivate")
@click.argument("email")
@refusals_as_messages
def deactivate_user(email: str) -> None:
    """Deactivate a user: ends all logins and tokens, cancels all that waits."""
    accounts, people = services.accounts(), services.people()
    cancelled = services.commit(lambda: people.deactivate(accounts.user_by_email(email).id))
    click.echo(f"Deactivated {email}; waiting reservations cancelled: {cancelled}.")


@users.command("reactivate")
@click.argument("email")
@refusals_as_messages
def reactivate_user(email: str) -> None:
    """Let a deactivated user log in again; cancelled reservations stay cancelled."""
    accounts = services.accounts()
    services.commit(lambda: accounts.reactivate(accounts.user_by_email(email).id))
    click.echo(f"Reactivated {email}.")


@tokens.command("create")
@click.argument("email")
@click.option("--name", required=True, help="What the token is for.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(list(SCOPES)), help="One of what it may do.")
@click.option("--days", type=click.IntRange(1, DAYS_MAX), help="In how many days it expires.")
@refusals_as_messages
def create_token(email: str, name: str, scopes: tuple[str, ...], days: int | None) -> None:
    """Print a new API token for a user. It is shown this once.

    Without --scope it may do all that the user may, without --days it never expires.
    """
    accounts = services.accounts()

    def create() -> str:
        return accounts.create_token(accounts.user_by_email(email).id, name, scopes or None, days)

    click.echo(services.commit(create))


@tokens.command("revoke")
@click.argument("email")
@click.option("--name", required=True, help="The name that the token was given.")
@refusals_as_messages
def revoke_tokens(email: str, name: str) -> None:
    """Revoke a user's API tokens of one name."""
    accounts = services.accounts()
    revoked = services.commit(lambda: accounts.revoke_tokens(accounts.user_by_email(email).id, name))
    click.echo(f"Revoked: {revoked}.")
