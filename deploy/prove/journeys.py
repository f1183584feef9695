"""What customers and staff of the shop do, from the first reservation to the book that is collected."""

from deploy.prove.visit import LINK, Browser, Mailbox, Unexpected, expect_text

OWNER, PASSWORD = "you@example.com", "correct horse battery staple"
ISBN = "9780141439778"


def sold_out_book(staff: Browser, title: str, isbn: str = ISBN) -> int:
    """Add a book without copies as a script does, and return its id."""
    book = {"isbn": isbn, "title": title, "authors": "Laurence Sterne", "price_cents": 1250, "currency": "EUR"}
    return int(staff.send("POST", "/books", book)["id"])


def reserve_by_e_mail(visitor: Browser, mailbox: Mailbox, book_id: int, address: str) -> None:
    """Reserve a book with nothing but an address: the link in the e-mail logs in and reserves."""
    visitor.submit(visitor.get(f"/books/{book_id}"), f"/books/{book_id}/reserve", email=address)
    page = visitor.get(link_in(mailbox.wait_for(address, "Log in")))
    expect_text(visitor.submit(page, page.url.path), "You reserved this book")


def restock(staff: Browser, mailbox: Mailbox, book_id: int, address: str, title: str) -> None:
    """Put copies on the shelf, and check that the waiting customer gets an e-mail."""
    answer = staff.send("PATCH", f"/books/{book_id}/stock", {"quantity": 3})
    if answer["notified_count"] != 1:
        raise Unexpected(f"the restock notified {answer['notified_count']} customers instead of one")
    mailbox.wait_for(address, f"{title} is back in stock")


def order(customer: Browser, mailbox: Mailbox, book_id: int, address: str) -> None:
    """Put the book into the cart and order it."""
    customer.submit(customer.get(f"/books/{book_id}"), "/cart/items")
    expect_text(customer.submit(customer.get("/checkout"), "/checkout", name="Ada Lovelace"), "Ada Lovelace")
    mailbox.wait_for(address, "We have your")


def collect(staff: Browser, mailbox: Mailbox, address: str) -> None:
    """Prepare the first order, check that its customer gets an e-mail, and hand it over."""
    [placed] = staff.send("GET", "/admin/orders?status=placed")["items"]
    staff.send("POST", f"/admin/orders/{placed['id']}/ready")
    mailbox.wait_for(address, "Ready to collect")
    staff.send("POST", f"/admin/orders/{placed['id']}/collected")


def log_in(browser: Browser, address: str, password: str) -> None:
    """Log in with a password, on two pages."""
    second = browser.submit(browser.get("/login"), "/login", email=address, with_password="1")
    if browser.submit(second, "/login", password=password).url.path == "/login":
        raise Unexpected(f"{address} cannot log in with the password")


def link_in(text: str) -> str:
    found = LINK.search(text)
    if found is None:
        raise Unexpected(f"there is no link in this e-mail: {text}")
    return found[0]
