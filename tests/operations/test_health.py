"""Health checks: what they answer, and that they answer, whatever state the database is in."""

import socket
from contextlib import ExitStack, contextmanager

import pytest
from sqlalchemy import insert, make_url, update

from bookshop import create_app
from bookshop.extensions import db
from bookshop.kit.database import later
from bookshop.operations import views
from bookshop.operations.models import WorkerBeat
from tests.mailer.test_mail_kills import wait_until
from tests.support.forks import processes
from tests.support.settings import settings_for
from tests.support.validation import shop_without_database

CHECKS = ("/health/live", "/health/ready", "/health/worker")
ODD_HOSTS = ["", "_", "10.0.0.1:99999", "shop..example.com", "[::1", "ü", f"{'x' * 64}.example.com", "<script>"]


def beat(shop, loop, age, worker="w"):
    """Record that a loop was alive this many seconds ago."""
    with shop.app.app_context():
        db.session.execute(insert(WorkerBeat).values(worker=worker, loop=loop, seen_at=later(-age)))
        db.session.commit()


def ask(app, path):
    """Return the status, and what is wrong."""
    answer = app.test_client().get(path)
    assert answer.json["status"] == ("ok" if answer.status_code == 200 else "unavailable")
    return answer.status_code, answer.json.get("detail", "")


def test_a_health_check_needs_no_session_and_is_not_cached(shop):
    for loop in ("mail", "webhooks"):
        beat(shop, loop, 1)
    client = shop.app.test_client()
    client.set_cookie("bookshop", "forged")
    for path in CHECKS:
        for answer in (client.get(path), client.head(path), client.get(path, headers={"Authorization": "Bearer x"})):
            assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
            assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("host", ODD_HOSTS)
def test_any_host_header_will_do(host):
    answer = shop_without_database().test_client().get("/health/live", headers={"Host": host})
    assert (answer.status_code, answer.json) == (200, {"status": "ok"})


def test_without_a_database_a_process_is_alive_but_not_ready():
    app = shop_without_database()
    assert ask(app, "/health/live") == (200, "")
    for path in ("/health/ready", "/health/worker"):
        assert ask(app, path) == (503, views.NO_DATABASE)


# ---------------------------------------------------------------- ready


@contextmanager
def revision(shop, number):
    """Pretend that the database has another schema."""
    ours = shop.rows("SELECT version_num FROM alembic_version")[0]
    shop.execute("UPDATE alembic_version SET version_num = :number", number=number)
    try:
        yield ours
    finally:
        shop.execute("UPDATE alembic_version SET version_num = :ours", ours=ours)


def test_a_server_is_ready_for_its_own_schema_and_for_a_newer_one_but_not_for_an_older_one(shop):
    assert ask(shop.app, "/health/ready") == (200, "")
    with revision(shop, "9999"):
        assert ask(shop.app, "/health/ready") == (200, "")
    with revision(shop, "0010") as ours:
        sentence = f"The schema of the database is 0010, but {ours} is needed: run `flask db upgrade`."
        assert ask(shop.app, "/health/ready") == (503, sentence)


def test_a_server_is_not_ready_for_an_empty_database(tmp_path):
    app = create_app(settings_for(f"sqlite:///{tmp_path}/empty.db"))
    assert ask(app, "/health/ready") == (503, "The database has no tables: run `flask db upgrade`.")


def test_a_database_that_hangs_is_reported_soon_and_asked_once(monkeypatch):
    monkeypatch.setattr(views, "DATABASE_TIMEOUT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts connections, and says nothing
        silent.settimeout(10)
        app = create_app(settings_for(f"postgresql://shop@127.0.0.1:{silent.getsockname()[1]}/shop"))
        assert [ask(app, "/health/ready") for _time in range(5)] == [(503, views.NO_DATABASE)] * 5
        assert ask(app, "/health/live") == (200, "")
        silent.accept()[0].close()
        silent.setblocking(False)
        with pytest.raises(BlockingIOError):
            silent.accept()


# ---------------------------------------------------------------- the worker

NEVER = "The loop of the worker that {} has never been seen."
MAIL, WEBHOOKS, RESTART = (
    "sends e-mail",
    "calls webhooks",
    "Start or restart `flask worker`; its log says why it stopped.",
)
# The seconds since each loop of each worker was seen, and the sentences about it.
WORKERS = [
    ([], [NEVER.format(MAIL), NEVER.format(WEBHOOKS), RESTART]),
    ([("a", 1, 1)], []),
    ([("a", 58, 45)], []),
    ([("a", 1, None)], [NEVER.format(WEBHOOKS), RESTART]),
    ([("a", 90, 1)], [f"The loop of the worker that {MAIL} was last seen 90 seconds ago.", RESTART]),
    ([("a", 1, 1), ("killed", 300, 310)], []),
    ([("a", 1, 1), ("just killed", 65, 55)], []),
    (
        [("a", 1, 1), ("b", 1, 300)],
        [f"The loop that {WEBHOOKS} hangs in one worker: it was last seen 300 seconds ago."],
    ),
]


@pytest.mark.parametrize(("seen", "sentences"), WORKERS)
def test_the_check_of_the_worker_names_each_loop_that_is_missing_or_hangs(shop, seen, sentences):
    for worker, *ages in seen:
        for loop, age in zip(("mail", "webhooks"), ages, strict=True):
            if age is not None:
                beat(shop, loop, age, worker)
    status, detail = ask(shop.app, "/health/worker")
    assert (status, detail.startswith(" ".join(sentences))) == (503 if sentences else 200, True)
    assert bool(detail) == bool(sentences)


def run_worker(url):
    """Run `flask worker` in a process of its own."""
    create_app(settings_for(url, database_pool=2)).test_cli_runner().invoke(args=["worker"])


def test_killing_the_worker_turns_its_check_and_leaves_the_server_ready(shop, database_url):
    worker = processes.Process(target=run_worker, args=(database_url,))
    worker.start()
    wait_until(lambda: ask(shop.app, "/health/worker")[0] == 200)
    worker.kill()
    worker.join(60)
    age_beats(shop, 61)  # as a minute later
    assert ask(shop.app, "/health/worker")[0] == 503
    assert ask(shop.app, "/health/ready") == (200, "")


def age_beats(shop, seconds):
    with shop.app.app_context():
        db.session.execute(update(WorkerBeat).values(seen_at=later(-seconds)))
        db.session.commit()


@pytest.mark.prove
def test_a_real_minute_after_its_death_the_worker_is_missed(shop, database_url):
    worker = processes.Process(target=run_worker, args=(database_url,))
    worker.start()
    wait_until(lambda: ask(shop.app, "/health/worker")[0] == 200)
    worker.kill()
    wait_until(lambda: ask(shop.app, "/health/worker")[0] == 503)
    assert ask(shop.app, "/health/ready") == (200, "")


@contextmanager
def host_that_is_gone():
    """Yield an address where a connection is neither made nor refused, as where a machine has lost its power."""
    with socket.socket() as listener, ExitStack() as queue:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _client in range(2):  # fill the queue, so that the system ignores the next
            client = queue.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_a_shop_whose_standby_has_taken_over_from_a_machine_that_is_gone_is_ready(app_on, postgresql_url):
    app_on(postgresql_url)
    url = make_url(postgresql_url)
    with host_that_is_gone() as gone:
        hosts = (gone, str(url.query.get("host") or f"{url.host}:{url.port or 5432}"))
        both = url.set(host=None, port=None).update_query_dict({"host": hosts}).render_as_string(hide_password=False)
        assert ask(create_app(settings_for(both)), "/health/ready") == (200, "")
