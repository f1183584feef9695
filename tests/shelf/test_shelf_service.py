"""Withdrawing a book, and putting it back on sale."""


def test_withdrawing_hides_the_book_and_cancels_reservations_and_putting_back_restores_none(shop, web_client):
    emma = shop.book("Emma")
    for user_id in shop.customers(3):
        shop.reserve(user_id, emma)
    shop.staff("staff@example.com")
    staff = web_client("staff@example.com")
    assert staff.submit(f"/admin/books/{emma}/withdraw").status_code == 303
    assert shop.statuses(emma) == ["cancelled"] * 3
    assert "No longer sold." in web_client().get(f"/books/{emma}").text
    staff.submit(f"/admin/books/{emma}/put-back", page=f"/admin/books/{emma}/stock")
    assert "No longer sold." not in web_client().get(f"/books/{emma}").text
    assert (shop.set_stock(emma, 1), shop.statuses(emma)) == ([], ["cancelled"] * 3)
    assert shop.broken() == []
