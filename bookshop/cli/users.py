"""flask users, flask tokens."""

import click
from flask.cli import AppGroup

from bookshop.accounts.models import CUSTOMER, STAFF_ROLES
from bookshop.accounts.passwords import problem_in_password
from bookshop.accounts.scopes import SCOPES
from bookshop.accounts.service import DAYS_MAX
from bookshop.accounts.staff import ROLE_NAMES
from bookshop.cli.errors import report_errors
from bookshop.web import services

ROLE = click.Choice([CUSTOMER, *STAFF_ROLES])

users = AppGroup("users", help="Create, deactivate and reactivate users, and change their roles.")
tokens = AppGroup("tokens", help="Create and revoke API tokens for scripts.")

QUESTION = "Password (press Enter for none: log in with links)"


def asked(context: click.Context, _parameter: click.Parameter, password: str | None) -> str:
    """Return the password that was given; without one, ask until one is acceptable.

    For hidden input, click itself would hide the reason, too.
    """
    while password is None and not context.resilient_parsing:
        typed = click.prompt(QUESTION, default="", show_default=False, hide_input=True, confirmation_prompt=True)
        if typed and (problem := problem_in_password(typed)):
            click.echo(f"Error: {problem}", err=True)
        else:
            password = typed
    return password or ""


password_option = click.option("--password", callback=asked, help="Without it, the command asks for one.")


@users.command("create")
@click.argument("email")
@click.option("--role", type=ROLE, default=CUSTOMER, show_default=True, help="What the user may do.")
@password_option
@report_errors
def create_user(email: str, role: str, password: str) -> None:
    """Create a user, whose address counts as confirmed."""
    user = services.commit(lambda: services.accounts().register(email, password or None, role))
    click.echo(f"Created {role} {user.email}.")


@users.command("role")
@click.argument("email")
@click.argument("role", type=ROLE)
@report_errors
def change_role(email: str, role: str) -> None:
    """Change a user's role, which ends all their logins and tokens."""
    accounts, staff = services.accounts(), services.staff()
    is_invited = services.commit(lambda: staff.change_role(accounts.user_by_email(email).id, role))
    invited = " Their password was erased: they log in with a link." if is_invited else ""
    click.echo(f"{email} is now {ROLE_NAMES[role]}.{invited}")


@users.command("remove-second-factor")
@click.argument("email")
@report_errors
def remove_second_factor(email: str) -> None:
    """Remove a user's second factor, for example after a lost phone, and end their logins."""
    accounts, staff = services.accounts(), services.staff()
    services.commit(lambda: staff.remove_second_factor(accounts.user_by_email(email).id))
    click.echo(f"{email} logs in without a code now, until they set up a second factor again.")


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
    accounts, people = services.accounts(), services.people()
    services.commit(lambda: people.reactivate(accounts.user_by_email(email).id))
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
