"""Valid input for each form."""

import io
from typing import Any

from tests.support.bad_input import ISBN
from tests.support.uploads import Upload

PASSWORD, NEW = "three random words", "three other words"
RIGHT: dict[str, dict[str, Any]] = {
    "LoginForm": {"email": "ada@example.com"},
    "PasswordLoginForm": {"email": "ada@example.com", "password": PASSWORD},
    "AddressForm": {"email": "ada@example.com"},
    "LinkForm": {"name": "Ada Lovelace", "confirmed": "y"},
    "ConfirmAddressForm": {"confirmed": "y"},
    "LoginCodeForm": {"code": "123456"},
    "ConfirmForm": {"confirmation": PASSWORD},
    "SecondFactorForm": {"code": "123456"},
    "RecoveryCodesForm": {},
    "EmailForm": {"email": "ada@example.com", "current": PASSWORD},
    "PasswordForm": {"current": PASSWORD, "new": NEW, "repeat": NEW},
    "TokenForm": {"name": "till", "scopes": "stock:write", "days": "30"},
    "DeleteForm": {"current": PASSWORD},
    "BookForm": {"title": "Persuasion", "authors": "Jane Austen", "price": "9.50"},
    "CoverForm": {"picture": (io.BytesIO(b"a picture"), "cover.png")},
    "StockForm": {"change": "received", "copies": "3", "expected": "0"},
    "DeliveryForm": {"lines": ISBN},
    "NewStaffForm": {"email": "ada@example.com", "role": "bookseller"},
    "RoleForm": {"role": "owner"},
    "WebhookForm": {"url": "https://example.com/hooks", "kinds": "order.placed"},
    "ImportForm": {"file": (Upload(b"isbn"), "books.csv"), "price": "", "stock_quantity": ""},
    "ColumnsForm": {"columns": "title", "encoding": "UTF-8", "decimal": ".", "names": "first last"},
    "PageForm": {"title": "Events", "body": "Readings", "state": "draft", "version": "0"},
    "ShelfForm": {"name": "Winter reading", "state": "draft", "version": "0"},
    "AddPickForm": {"book": "Emma", "sentence": "Read it."},
    "SentenceForm": {"sentence": "Read it.", "version": "0"},
    "BookPickForm": {"shelf": "1", "sentence": "Read it."},
    "ShopDetailsForm": {
        **{"name": "A", "time_zone": "UTC", "currency": "EUR", "collect_days": "14", "version": "0"},
        **{"order_wording": "reserve", "mail_delay": "60"},
    },
    "LookForm": {"accent": "#00aa55", "photo_alt": "Our shop window", "version": "0"},
    "SetUpForm": {
        **{"code": "AAAA-AAAA-AAAA-AAAA", "name": "Corner Books", "time_zone": "Europe/London", "currency": "GBP"},
        **{"email": "ada@example.com", "password": "three random words", "repeat": "three random words"},
    },
    "ReturnForm": {"name": "Ada Lovelace", "order_number": "4821-7301", "email": "ada@example.com"},
    "CopiesForm": {"quantity": "2"},
    "AddForm": {"book_id": "1", "quantity": "1"},
    "CheckoutForm": {"name": "Ada Lovelace", "email": "ada@example.com"},
}
