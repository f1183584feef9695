import pytest
from sqlalchemy import update
from collections import Counter
from bookshop.cart.repository import CartRepository
from bookshop.orders.repository import OrderRepository
from bookshop.orders import service
from bookshop.cart.service import CartService
from bookshop.idempotency.service import IdempotencyService
from bookshop.prebookings.repository import PreBookRepository
from tests.test_state_machine import run, app_with_small_limits
from tests import order_machine
def look(m):
    orig=CartService.__init__
    def init(self, *a): orig(self,*a); self.max_lines=3
    m.setattr(CartService,"__init__",init)
def copies(m):
    orig=CartService.__init__
    def init(self, *a): orig(self,*a); self.max_copies=4
    m.setattr(CartService,"__init__",init)
M = {
 "cart kept": lambda m: m.setattr(CartRepository, "clear", lambda *a: None),
 "ready cancelled by customer": lambda m: m.setattr(service.OrderService, "cancel", lambda self, u, o: (self.get(u, o), self.change(o, "cancelled", u))),
 "key forgotten": lambda m: m.setattr(IdempotencyService, "once", lambda s,u,k,f,w: w()),
 "others cancel": lambda m: m.setattr(service.OrderService, "get", lambda self, u, o: self.get_any(o)),
 "too many lines": look, "too many copies": copies,
 "collected from placed": lambda m: m.setitem(service.BEFORE, "collected", ("placed", "ready")),
 "collected is cancelled": lambda m: m.setitem(service.BEFORE, "cancelled", ("placed",)),
 "withdrawn sold": lambda m: m.setattr(service.CartLine, "is_short", property(lambda s: s.book.stock_quantity < s.quantity)),
}
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("name", M)
def test_m(app_with_small_limits, monkeypatch, name):
    M[name](monkeypatch)
    with pytest.raises(BaseException) as e:
        run(app_with_small_limits, runs=30, steps=25, again=True)
    print(name, type(e.value))
C = Counter()
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_count(app_with_small_limits, monkeypatch):
    orig = order_machine.said
    import inspect
    def said(a):
        r = orig(a); C[(inspect.stack()[1].function, r)] += 1; return r
    monkeypatch.setattr(order_machine, "said", said)
    run(app_with_small_limits, runs=30, steps=25, again=True)
    for k, n in sorted(C.items(), key=str): print("N", n, k)
