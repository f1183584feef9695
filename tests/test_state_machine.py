"""The JSON API against a plain model of the rules: random steps, after each of which both must agree."""

from itertools import count
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from bookshop import create_app
from bookshop.extensions import db
from bookshop.imports.runner import import_file
from bookshop.mailer.worker import MailWorker
from bookshop.web import services
from tests.support.clients import ApiClient
from tests.support.databases import empty, rows_of
from tests.support.factories import PASSWORD, Shop, isbn
from tests.support.link_machine import LinkSteps
from tests.support.mailbox import DUE_NOW
from tests.support.model import (
    CART_COPIES,
    CART_LINES,
    MAX_WAITING,
    Book,
    Model,
    Reservation,
    User,
    set_statuses,
    status_and_code,
)
from tests.support.order_machine import OrderSteps
from tests.support.settings import settings_for

STATUSES = ("waiting", "notified", "cancelled")
RESERVATIONS = "SELECT id, user_id, book_id, status FROM prebookings"
BOOKS = "SELECT id, isbn, title, stock_quantity, withdrawn_at IS NOT NULL FROM books"
ALERTS = "SELECT prebooking_id, coalesce(reason, state) FROM messages WHERE kind = 'restock'"
few = st.integers(0, 3)


def new_json(book: Book) -> dict[str, Any]:
    return {"isbn": book.isbn, "title": book.title, "authors": "A. Writer", "price_cents": 950}


class BookshopMachine(LinkSteps, OrderSteps, RuleBasedStateMachine):
    """The steps of customers, staff, imports and the worker, in random order."""

    users: Bundle[int] = Bundle("users")
    books: Bundle[int] = Bundle("books")
    reservations: Bundle[int] = Bundle("reservations")

    def __init__(self, app: Flask) -> None:
        super().__init__()
        self.steps = 0
        self.app, self.shop, self.model, self.numbers = app, Shop(app), Model(), count(1)
        empty(app)
        self.shop.staff()
        self.staff = ApiClient(app, "staff@example.com")
        self.opening_users = [self.new_user(), self.new_user()]
        self.opening_books = [self.new_book(), self.new_book(), self.new_book()]

    @initialize(target=users)
    def first_customers(self) -> Any:
        return multiple(*self.opening_users)

    @initialize(target=books)
    def first_books(self) -> Any:
        return multiple(*self.opening_books)

    @initialize(target=reservations)
    def both_customers_wait_for_one_book(self) -> Any:
        return multiple(*[self.a_customer_reserves(user, self.opening_books[0]) for user in self.opening_users])

    def new_user(self) -> int:
        email = f"c{next(self.numbers)}@example.com"
        user = self.shop.customer(email)
        self.model.users[user] = User(email, ApiClient(self.app, email))
        return user

    def new_book(self) -> int:
        book = Book(isbn(), f"Book {next(self.numbers)}")
        created = self.staff.post("/api/v1/books", new_json(book))
        assert (created.status_code, created.get_json()["stock_quantity"]) == (201, 0)
        self.model.books[created.get_json()["id"]] = book
        return int(created.get_json()["id"])

    @rule(target=users)
    def a_customer_registers(self) -> Any:
        return self.new_user() if len(self.model.users) < 4 else multiple()

    @rule(target=books)
    def staff_add_a_book(self) -> Any:
        return self.new_book() if len(self.model.books) < 6 else multiple()

    @rule(book=books)
    def staff_add_a_book_with_a_taken_isbn(self, book: int) -> None:
        answer = self.staff.post("/api/v1/books", new_json(self.model.books[book]))
        assert status_and_code(answer) == (409, "BOOK_ISBN_CONFLICT")

    @rule(book=books, other=books)
    def staff_edit_a_book(self, book: int, other: int) -> None:
        changes = {"title": f"Book {next(self.numbers)}", "isbn": self.model.books[other].isbn}
        expected = (200, None) if book == other else (409, "BOOK_ISBN_CONFLICT")
        assert status_and_code(self.staff.patch(f"/api/v1/books/{book}", changes)) == expected
        if book == other:
            self.model.books[book].title = changes["title"]

    @rule(target=reservations, user=users, book=books)
    def a_customer_reserves(self, user: int, book: int) -> Any:
        expected = self.model.response_to_reserve(user, book)
        answer = self.model.users[user].api_client.reserve(book)
        assert status_and_code(answer) == expected
        if answer.status_code != 201:
            return multiple()
        self.model.reservations[answer.get_json()["id"]] = Reservation(user, book)
        return answer.get_json()["id"]

    @rule(reservation=reservations)
    def a_customer_reserves_the_same_book_again(self, reservation: int) -> None:
        user, book = self.model.reservations[reservation].user, self.model.reservations[reservation].book
        if self.model.waiting(user=user, book=book):
            assert status_and_code(self.model.users[user].api_client.reserve(book)) == self.model.response_to_reserve(
                user, book
            )

    @rule(target=reservations, user=users)
    def a_customer_reserves_every_book(self, user: int) -> Any:
        made = [self.a_customer_reserves(user, book) for book in list(self.model.books)]
        return multiple(*[reservation for reservation in made if isinstance(reservation, int)])

    @rule(reservation=reservations)
    def a_customer_cancels(self, reservation: int) -> None:
        self.cancel(self.model.reservations[reservation].user, reservation)

    @rule(reservation=reservations)
    def a_customer_cancels_twice(self, reservation: int) -> None:
        for _time in range(2):
            self.cancel(self.model.reservations[reservation].user, reservation)

    @rule(user=users, reservation=reservations)
    def a_customer_tries_to_cancel_any_reservation(self, user: int, reservation: int) -> None:
        self.cancel(user, reservation)

    def cancel(self, user: int, reservation: int) -> None:
        expected = self.model.response_to_cancel(user, reservation)
        assert (
            status_and_code(self.model.users[user].api_client.delete(f"/api/v1/prebookings/{reservation}")) == expected
        )
        if expected[0] == 204:
            self.model.reservations[reservation].status = "cancelled"

    @rule(user=users, reservation=reservations)
    def a_customer_tries_to_read_any_reservation(self, user: int, reservation: int) -> None:
        answer = self.model.users[user].api_client.get(f"/api/v1/prebookings/{reservation}")
        if not self.model.users[user].active:
            assert answer.status_code == 401
        elif self.model.reservations[reservation].user != user:
            assert status_and_code(answer) == (404, "PREBOOK_NOT_FOUND")
        else:
            assert answer.get_json()["status"] == self.model.reservations[reservation].status

    @rule(user=users, status=st.sampled_from(STATUSES))
    def a_customer_lists_reservations(self, user: int, status: str) -> None:
        answer = self.model.users[user].api_client.get("/api/v1/prebookings", status=status, size=100)
        if not self.model.users[user].active:
            assert answer.status_code == 401
            return
        own = [
            n
            for n, reservation in self.model.reservations.items()
            if (reservation.user, reservation.status) == (user, status)
        ]
        assert [item["id"] for item in answer.get_json()["items"]] == sorted(own, reverse=True)

    @rule(user=users)
    def a_customer_is_deactivated(self, user: int) -> None:
        active = [other for other in self.model.users.values() if other.active]
        if len(active) < 2 or self.model.users[user].deleted:
            return
        cancelled = self.shop.deactivate(self.model.users[user].email)
        assert cancelled == set_statuses(self.model.waiting(user=user), "cancelled")
        self.model.users[user].active = False
        self.model.change_alerts("gone", "closed", user=user)

    @rule(user=users)
    def a_customer_deletes_the_account(self, user: int) -> None:
        active = [other for other in self.model.users.values() if other.active]
        if len(active) < 2 or not self.model.users[user].active:
            return
        cancelled = self.shop.commit(lambda: services.people().delete(user, PASSWORD))
        assert cancelled == self.model.delete_account(user)

    @rule(book=books, copies=st.integers(1, 3))
    def copies_are_received(self, book: int, copies: int) -> None:
        self.change_stock(book, self.model.books[book].stock + copies, delta=copies, reason="received")

    @rule(book=books)
    def a_copy_is_sold(self, book: int) -> None:
        self.change_stock(book, self.model.books[book].stock - 1, delta=-1, reason="sale")

    @rule(book=books, quantity=few)
    def staff_set_the_stock(self, book: int, quantity: int) -> None:
        self.change_stock(book, quantity, quantity=quantity)

    @rule(book=books)
    def a_book_sells_out(self, book: int) -> None:
        self.change_stock(book, 0, quantity=0)

    def change_stock(self, book: int, becomes: int, **change: Any) -> None:
        answer = self.staff.patch(f"/api/v1/books/{book}/stock", change)
        if becomes < 0:
            assert status_and_code(answer) == (422, "VALIDATION_ERROR")
            return
        notified = self.model.set_stock(book, becomes)
        assert (answer.status_code, answer.get_json()["stock_quantity"], answer.get_json()["notified_count"]) == (
            200,
            becomes,
            notified,
        )

    @rule(book=books, quantity=few)
    def a_file_imports_a_book(self, book: int, quantity: int) -> None:
        values = self.model.books[book]
        line = f"{values.isbn},{values.title},A. Writer,{quantity}"
        with NamedTemporaryFile(suffix=".csv") as file, self.app.app_context():
            Path(file.name).write_text(f"isbn,title,authors,stock_quantity\n{line}\n")
            job = import_file(Path(file.name))
        assert (job.refused, job.notified) == (0, self.model.set_stock(book, quantity))

    @rule()
    def a_worker_sends_what_is_queued(self) -> None:
        self.shop.execute(DUE_NOW)
        with self.app.app_context():
            assert MailWorker().run_once()
        self.model.send()

    @rule(book=books)
    def a_book_is_restocked_sold_out_and_restocked_before_a_worker_runs(self, book: int) -> None:
        for quantity in (2, 0, 2):
            self.change_stock(book, quantity, quantity=quantity)
        self.a_worker_sends_what_is_queued()

    @rule(book=books)
    def staff_withdraw_a_book(self, book: int) -> None:
        assert self.shop.withdraw(book) == set_statuses(self.model.waiting(book=book), "cancelled")
        self.model.books[book].withdrawn = True

    @rule(book=books)
    def staff_put_a_book_back(self, book: int) -> None:
        self.shop.commit(lambda: services.shelf().put_back(book))
        self.model.put_back(book)

    @rule(user=users)
    def all_books_are_restocked_and_added_to_a_cart(self, user: int) -> None:
        for book in list(self.model.books):
            self.change_stock(book, 3, quantity=3)
            self.a_customer_adds_to_the_cart(user, book, 1)

    @rule(user=users, book=books)
    def a_book_in_a_cart_is_withdrawn(self, user: int, book: int) -> None:
        self.a_customer_adds_to_the_cart(user, book, 1)
        self.staff_withdraw_a_book(book)
        self.a_customer_orders(user)

    @rule(book=books)
    def the_movements_of_a_book_add_up(self, book: int) -> None:
        found = self.staff.get(f"/api/v1/books/{book}/movements", size=100).get_json()["items"]
        assert sum(line["delta"] for line in found) == self.model.books[book].stock

    @rule(book=books)
    def anyone_views_a_book(self, book: int) -> None:
        expected = self.model.books[book]
        answer = ApiClient(self.app).get(f"/api/v1/books/{book}")
        if expected.withdrawn:
            assert status_and_code(answer) == (404, "BOOK_NOT_FOUND")
        else:
            assert (answer.get_json()["title"], answer.get_json()["in_stock"]) == (expected.title, expected.stock > 0)

    @invariant()
    def data_are_consistent_at_every_fifth_step(self) -> None:
        self.steps += 1
        if self.steps % 5 == 0:
            assert self.shop.broken() == []

    def teardown(self) -> None:
        """Check consistency at the end as well."""
        assert self.shop.broken() == []

    @invariant()
    def books_and_reservations_agree_with_the_model(self) -> None:
        reservations, books, alerts = rows_of(self.app, RESERVATIONS, BOOKS, ALERTS)
        assert {row[0]: Reservation(*row[1:]) for row in reservations} == self.model.reservations
        assert {row[0]: Book(row[1], row[2], row[3], bool(row[4])) for row in books} == self.model.books
        assert dict(map(tuple, alerts)) == self.model.alerts


@pytest.fixture
def app_with_small_limits(app, database_url, tmp_path):
    limits = {"max_waiting": MAX_WAITING, "cart_lines": CART_LINES, "cart_copies": CART_COPIES}
    small = create_app(settings_for(database_url, mail_folder=tmp_path, **limits))
    yield small
    with small.app_context():
        db.engine.dispose()


def run(app: Flask, runs: int, steps: int, *, repeatable: bool) -> None:
    """Let Hypothesis run the machine; with `repeatable` the steps are the same each time."""
    profile = settings(
        max_examples=runs,
        stateful_step_count=steps,
        deadline=None,
        derandomize=repeatable,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    machine: Any = lambda: BookshopMachine(app)  # noqa: E731
    run_state_machine_as_test(machine, settings=profile)


def test_the_shop_does_what_the_model_does_for_25_steps(app_with_small_limits):
    run(app_with_small_limits, runs=5, steps=25, repeatable=True)


@pytest.mark.prove
def test_the_shop_does_what_the_model_does_for_40_steps_100_times(app_with_small_limits):
    """The steps are different on each database: 200 runs in all."""
    run(app_with_small_limits, runs=100, steps=40, repeatable=False)
