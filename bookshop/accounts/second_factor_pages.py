"""Pages of the second factor of staff."""

import secrets
from collections.abc import Sequence

import pyotp
import segno
from flask import flash, redirect, render_template, request, session, url_for

from bookshop.accounts import bp
from bookshop.accounts.authentication import Identity
from bookshop.accounts.forms import RecoveryCodesForm, SecondFactorForm
from bookshop.accounts.repository import UserRepository
from bookshop.accounts.views import ViewResponse, limited
from bookshop.extensions import settings
from bookshop.kit.exceptions import Conflict, Forbidden, Invalid
from bookshop.web import services
from bookshop.web.access import current_identity, fresh_login_required, login_required, require_fresh_login
from bookshop.web.forms import ONCE, ShopForm

NONCE = "second_factor_nonce"  # in the cookie session, until a code proves that the phone has the secret
INVALID_FORM = "This form is not valid. Try again with the one below."


@bp.route("/account/second-factor", methods=["GET", "POST"])
@login_required
@limited
def second_factor() -> ViewResponse:
    """Show the state of the second factor; without one, show how to set it up."""
    me = _staff()
    is_set_up = services.repository(UserRepository).has_second_factor(me.user_id)
    if request.method == "POST" or not is_set_up:
        require_fresh_login()
    form = SecondFactorForm()
    if form.validate_on_submit():
        try:
            codes = _set_up(me, form)
        except Conflict as error:
            flash(error.sentence, "warning")
            return redirect(url_for("accounts.second_factor"), 303)
        except Invalid as error:
            form.add_error(error)
        else:
            return _recovery_codes_page(codes)
    return _page_with_factor(me) if is_set_up else _set_up_page(me, form)


def _staff() -> Identity:
    me = current_identity()
    if not me.is_staff:
        raise Forbidden("A second factor is for the shop's staff only.")
    return me


def _set_up(me: Identity, form: SecondFactorForm) -> Sequence[str]:
    """Set up the second factor whose nonce is in the cookie session, which does not keep it afterwards."""
    service, nonce, key = services.second_factor(), session.get(NONCE, ""), form.key.data or ""
    if not ONCE.fullmatch(key):
        raise Invalid(INVALID_FORM)
    codes = services.commit(lambda: service.set_up(me, nonce, form.code.data, key), lock_role=False)
    session.pop(NONCE, None)
    return codes


def _set_up_page(me: Identity, form: SecondFactorForm) -> ViewResponse:
    nonce = session.setdefault(NONCE, secrets.token_urlsafe(16))
    secret = services.second_factor().secret(me.user_id, nonce)
    address = pyotp.TOTP(secret).provisioning_uri(name=me.email, issuer_name=services.shop_details().name)
    picture = segno.make(address, error="m").svg_data_uri(scale=5, light="#fff")
    page = render_template(
        "accounts/second_factor_set_up.html",
        form=form,
        picture=picture,
        secret=" ".join(secret[start : start + 4] for start in range(0, len(secret), 4)),
    )
    return page, form.status


def _page_with_factor(me: Identity) -> ViewResponse:
    return render_template(
        "accounts/second_factor.html",
        left=services.second_factor().codes_left(me.user_id),
        required=settings().staff_second_factor,
        codes_form=RecoveryCodesForm(),
        form=ShopForm(),
    )


def _recovery_codes_page(codes: Sequence[str]) -> ViewResponse:
    """Show new recovery codes once; status 201, so that the response is not stored for a form that is sent again."""
    return render_template("accounts/recovery_codes.html", codes=codes), 201


@bp.post("/account/second-factor/recovery-codes")
@login_required
@fresh_login_required
def new_recovery_codes() -> ViewResponse:
    me, service, key = _staff(), services.second_factor(), request.form.get("key", "")
    if not ONCE.fullmatch(key):
        raise Invalid(INVALID_FORM)
    return _recovery_codes_page(services.commit(lambda: service.replace_codes(me, key), lock_role=False))


@bp.post("/account/second-factor/turn-off")
@login_required
@fresh_login_required
def turn_off_second_factor() -> ViewResponse:
    me, service = _staff(), services.second_factor()
    services.commit(lambda: service.turn_off(me), lock_role=False)
    flash("The second factor is off. From now on, your password or a link is enough to log in.", "success")
    return redirect(url_for("accounts.account"), 303)
