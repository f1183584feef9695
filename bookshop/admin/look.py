"""The owners' page about how the shop looks: its logo, a photo and its colour."""

from typing import NamedTuple

from flask import flash, redirect, render_template, url_for
from werkzeug.wrappers import Response

from bookshop.admin import bp
from bookshop.admin.look_forms import LookForm
from bookshop.admin.views import ViewResponse
from bookshop.catalog import pictures
from bookshop.extensions import settings
from bookshop.kit.exceptions import Conflict
from bookshop.shop.colours import DARK, DEFAULT, LIGHT, Tones, lowest_contrast, tones
from bookshop.web import services
from bookshop.web.access import owner_required
from bookshop.web.forms import ShopForm

REMOVED = {"logo": {"logo": "", "logo_size": []}, "photo": {"photo": "", "photo_size": [], "photo_alt": ""}}
SCHEMES = {"light": LIGHT, "dark": DARK}


class Sample(NamedTuple):
    """A colour on light or dark pages: its contrast there, and that of the colour which the owner chose."""

    name: str
    ground: str
    tones: Tones
    contrast: float
    of_chosen: float


@bp.route("/admin/settings/look", methods=["GET", "POST"])
@owner_required
def look() -> ViewResponse:
    """Show the logo, the photo and the colour, and change them."""
    form = LookForm(services.shop_details())
    status = form.status
    if form.validate_on_submit():
        try:
            _save(form)
        except Conflict as error:
            status = form.refuse(error)
            form.show_again(services.shop().read().version)
        else:
            flash("The look of the shop has been saved.", "success")
            return redirect(url_for("admin.look"), 303)
    form.ask_for_pictures_again()
    chosen = services.shop_details().accent or DEFAULT
    samples = [_sample(name, chosen) for name in SCHEMES]
    return render_template("admin/look.html", form=form, chosen=chosen, samples=samples, remove=ShopForm()), status


def _save(form: LookForm) -> None:
    """Store the new pictures, then commit their names, so that no file is ever missing. Raises Conflict."""
    for picture in form.pictures.values():
        pictures.store(settings().covers, picture)
    services.commit(lambda: services.shop().change(form.values(), form.version.data))


def _sample(name: str, colour: str) -> Sample:
    """Return the ground of light or dark pages, what the colour is there, its contrast, and that of the colour."""
    found = tones(colour, SCHEMES[name])
    reached, of_chosen = (lowest_contrast(one, SCHEMES[name]) for one in (found.accent, colour))
    return Sample(name, SCHEMES[name].grounds[0], found, reached, of_chosen)


@bp.post("/admin/settings/look/remove/<any(logo, photo):picture>")
@owner_required
def remove_picture(picture: str) -> Response:
    """Show the shop without its logo or its photo."""
    shop = services.shop()
    services.commit(lambda: shop.change(REMOVED[picture], shop.read().version))
    flash(f"The {picture} has been removed.", "success")
    return redirect(url_for("admin.look"), 303)
