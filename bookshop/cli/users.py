"""flask users, flask tokens."""

import click
from flask.cli import AppGroup

from bookshop.accounts.models import CUSTOMER, STAFF
from bookshop.accounts.scopes import SCOPES
from bookshop.accounts.service import DAYS_MAX
from bookshop.cli.errors import report_errors
from bookshop.web import services

users = AppGroup("users", help="Create, deactivate and reactivate users.")
tokens = AppGroup("tokens", help="Create and revoke API tokens for scripts.")


@users.command("create")
@click.argument("email")
@click.option("--staff", is_flag=True, help="Create a member of staff instead of a customer.")
@click.option("--password", prompt=True, hide_input=True, confirmation_prompt=True)
@report_errors
def create_user(email: str, staff: bool, password: str) -> None:
    """Create a user."""
    role = STAFF if staff else CUSTOMER
    user = services.commit(lambda: services.accounts().register(email, password, role))
    click.echo(f"Created {role} {user.email}.")


@users.command("deactivate")
@click.argument("email")
@report_errors
def deactivate_user(email: str) -> None:
    """Deactivate a user: end their logins, revoke their tokens and cancel their waiting reservations."""
    accounts, people = services.accounts(), services.people()
    cancelled = services.commit(lambda: people.deactivate(accounts.user_by_email(email).id))
    click.echo(f"Deactivated {email}. Waiting reservations cancelled: {cancelled}.")


@users.command("reactivate")
@click.argument("email")
@report_errors
def reactivate_user(email: str) -> None:
    """Let a deactivated user log in again; cancelled reservations stay cancelled."""
    accounts = services.accounts()
    services.commit(lambda: accounts.reactivate(accounts.user_by_email(email).id))
    click.echo(f"Reactivated {email}.")


@tokens.command("create")
@click.argument("email")
@click.option("--name", required=True, help="What the token is for.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(list(SCOPES)), help="A scope; may be repeated.")
@click.option("--days", type=click.IntRange(1, DAYS_MAX), help="Number of days until the token expires.")
@report_errors
def create_token(email: str, name: str, scopes: tuple[str, ...], days: int | None) -> None:
    """Create an API token for a user and print it. It cannot be shown again.

    Without --scope, the token has all scopes of the user's role. Without --days, it does not expire.
    """
    accounts = services.accounts()

    def create() -> str:
        return accounts.create_token(accounts.user_by_email(email).id, name, scopes or None, days)

    click.echo(services.commit(create))


@tokens.command("revoke")
@click.argument("email")
@click.option("--name", required=True, help="The name of the tokens.")
@report_errors
def revoke_tokens(email: str, name: str) -> None:
    """Revoke all API tokens of a user with this name."""
    accounts = services.accounts()
    revoked = services.commit(lambda: accounts.revoke_tokens(accounts.user_by_email(email).id, name))
    click.echo(f"Tokens revoked: {revoked}.")
