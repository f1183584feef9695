"""The steps of the state machine for carts and orders."""

from typing import Any

from flask import Flask
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule
from werkzeug.test import TestResponse

from tests.support.clients import ApiClient
from tests.support.databases import rows_of
from tests.support.factories import Shop
from tests.support.model import CART_COPIES, Line, Model, Order, status_and_code

BEFORE = {"ready": ("placed",), "collected": ("ready",), "cancel": ("placed", "ready")}
BECOMES = {"ready": "ready", "collected": "collected", "cancel": "cancelled"}
copies = st.integers(1, CART_COPIES)
ORDERS = "SELECT id, user_id, status FROM orders"
LINES = "SELECT order_id, book_id, quantity, prebooking_id FROM order_lines"


class OrderSteps(RuleBasedStateMachine):
    """The cart and order steps of customers and staff; the machine adds the others."""

    users: Bundle[int] = Bundle("users")
    books: Bundle[int] = Bundle("books")
    orders: Bundle[int] = Bundle("orders")

    app: Flask
    shop: Shop
    model: Model
    staff: ApiClient
    opening_users: list[int]
    opening_books: list[int]

    def client_of(self, user: int) -> ApiClient:
        return self.model.users[user].api_client

    @initialize(target=orders)
    def both_customers_ordered_a_book(self) -> Any:
        book = self.opening_books[-1]
        assert self.staff.set_stock(book, 3).status_code == 200
        self.model.books[book].stock = 3
        return multiple(*[self.a_customer_orders_at_once(user, book, 1) for user in self.opening_users])

    @rule(user=users, book=books, quantity=copies)
    def a_customer_adds_to_the_cart(self, user: int, book: int, quantity: int) -> None:
        expected = self.model.response_to_add(user, book, quantity)
        response = self.client_of(user).post("/api/v1/cart/items", {"book_id": book, "quantity": quantity})
        assert status_and_code(response) == expected
        if response.status_code < 400:
            cart = self.model.carts[user]
            cart[book] = cart.get(book, 0) + quantity
            assert response.get_json()["quantity"] == cart[book]

    @rule(user=users, book=books, quantity=st.integers(1, CART_COPIES + 1))
    def a_customer_changes_the_cart(self, user: int, book: int, quantity: int) -> None:
        for book_id in {book, *self.model.carts[user]}:
            expected = self.model.response_to_change(user, book_id, quantity)
            response = self.client_of(user).patch(f"/api/v1/cart/items/{book_id}", {"quantity": quantity})
            assert status_and_code(response) == expected
            if response.status_code == 200:
                self.model.carts[user][book_id] = quantity

    @rule(user=users, book=books)
    def a_customer_takes_a_book_out_of_the_cart(self, user: int, book: int) -> None:
        book = min(self.model.carts[user], default=book)
        response = self.client_of(user).delete(f"/api/v1/cart/items/{book}")
        if not self.model.users[user].active:
            assert status_and_code(response) == (401, "NOT_AUTHENTICATED")
        elif self.model.carts[user].pop(book, None) is None:
            assert status_and_code(response) == (404, "CART_ITEM_NOT_FOUND")
        else:
            assert response.status_code == 204

    @rule(target=orders, user=users)
    def a_customer_orders(self, user: int) -> Any:
        expected, response = self.model.response_to_order(user), self.send_order(user, len(self.model.orders))
        assert status_and_code(response) == expected
        if response.status_code != 201:
            return multiple()
        order = response.get_json()["id"]
        self.model.orders[order] = self.model.order(user)
        return order

    def send_order(self, user: int, number: int) -> TestResponse:
        """Place an order; its Idempotency-Key is the number of previous orders."""
        api_client = self.client_of(user)
        headers = {**api_client.headers, "Idempotency-Key": str(number)}
        return api_client.client.post("/api/v1/orders", json={"name": "Ada"}, headers=headers)

    @rule(target=orders, user=users, book=books, quantity=copies)
    def a_customer_orders_at_once(self, user: int, book: int, quantity: int) -> Any:
        self.a_customer_adds_to_the_cart(user, book, quantity)
        return self.a_customer_orders(user)

    @rule(order=orders)
    def a_customer_retries_an_order(self, order: int) -> None:
        user, number = self.model.orders[order].user, list(self.model.orders).index(order)
        response = self.send_order(user, number)
        if self.model.users[user].active:
            stored = response.get_json()
            assert (response.status_code, stored["id"], stored["status"]) == (201, order, "placed")
        else:
            assert status_and_code(response) == (401, "NOT_AUTHENTICATED")

    @rule(order=orders)
    def a_customer_cancels_an_order(self, order: int) -> None:
        self.cancel_order(self.model.orders[order].user, order)

    @rule(order=orders)
    def every_customer_tries_to_cancel_an_order(self, order: int) -> None:
        for user in list(self.model.users):
            self.cancel_order(user, order)

    def cancel_order(self, user: int, order: int) -> None:
        expected = self.model.response_to_cancel_order(user, order)
        assert status_and_code(self.client_of(user).post(f"/api/v1/orders/{order}/cancel")) == expected
        if expected[0] == 200:
            self.model.cancel_order(self.model.orders[order])

    @rule(order=orders, changes=st.lists(st.sampled_from(list(BEFORE)), min_size=1, max_size=3))
    def staff_change_an_order(self, order: int, changes: list[str]) -> None:
        for change in changes:
            self.change_order(self.model.orders[order], f"/api/v1/admin/orders/{order}", change)

    def change_order(self, order: Order, path: str, change: str) -> None:
        response = self.staff.post(f"{path}/{change}")
        if order.status not in BEFORE[change]:
            assert status_and_code(response) == (409, "ORDER_STATE")
            return
        assert (response.status_code, response.get_json()["status"]) == (200, BECOMES[change])
        if change == "cancel":
            self.model.cancel_order(order)
        order.status = BECOMES[change]

    @rule(order=orders)
    def a_ready_order_cannot_be_cancelled(self, order: int) -> None:
        self.staff_change_an_order(order, ["ready"])
        self.a_customer_cancels_an_order(order)

    @rule(user=users, status=st.sampled_from(["placed", "ready", "collected", "cancelled"]))
    def a_customer_lists_orders(self, user: int, status: str) -> None:
        response = self.client_of(user).get("/api/v1/orders", status=status, size=100)
        if not self.model.users[user].active:
            assert response.status_code == 401
            return
        own = [n for n, order in self.model.orders.items() if (order.user, order.status) == (user, status)]
        assert [item["id"] for item in response.get_json()["items"]] == sorted(own, reverse=True)

    @invariant()
    def carts_and_orders_agree_with_the_model(self) -> None:
        items, order_rows, lines = rows_of(self.app, "SELECT user_id, book_id, quantity FROM cart_items", ORDERS, LINES)
        carts: dict[int, dict[int, int]] = {}
        for user, book, quantity in items:
            carts.setdefault(user, {})[book] = quantity
        assert carts == {user: cart for user, cart in self.model.carts.items() if cart}
        orders = {row[0]: Order(row[1], {}, row[2]) for row in order_rows}
        for order, book, quantity, reservation in lines:
            orders[order].lines[book] = Line(quantity, reservation)
        assert orders == self.model.orders
