"""The public API for people and programs to read: each operation of the route table, what it takes and answers."""

from __future__ import annotations

from ordermgmt.gateway import contract as gateway
from ordermgmt.gateway.operation import Answer, Operation, Parameter
from ordermgmt.inventory import contract as inventory
from ordermgmt.order import contract as order
from ordermgmt.sts import contract as sts

__all__ = ["OPERATIONS"]

_ORDER = Parameter("order_id", "path", "Which order.", order.OrderId, required=True)
_OPERATION = Parameter("operation_id", "path", "Which operation of the journal.", order.OrderId, required=True)
_SESSION = Parameter("session_id", "path", "Which session.", order.OrderId, required=True)
_CATEGORY = Parameter("category", "path", "Which category.", inventory.Name, required=True)
_CODE = Parameter("code", "path", "Which item of the category.", inventory.Name, required=True)
_KEY = Parameter(
    "Idempotency-Key",
    "header",
    "Makes the request safe to repeat: 1 to 255 printable characters, quoted or bare, kept 24 hours after the outcome.",
)
_IF_MATCH = Parameter("If-Match", "header", "Change the order only if this is still its ETag.")
_IF_NONE_MATCH = Parameter("If-None-Match", "header", "An ETag that is known: 304 while it is the current one.")
_AFTER = Parameter("after", "query", "The `next` of the page before.")
_STOCK_LIMIT = Parameter("limit", "query", f"Items of a page: 1 to {inventory.MAX_PAGE}.", int)

_BODY_ERRORS = {400: ("invalid-body", "invalid-idempotency-key"), 413: ("content-too-large",), 415: ("not-json",)}
_UNDONE = {
    503: ("busy", "inventory-unreachable", "inventory-unavailable", "order-unreachable", "storage-busy"),
    504: ("outcome-unknown",),
}
_NOT_MODIFIED = Answer("It is still what the ETag says.", headers=("ETag",))
_DONE = Answer("Done, and on disk.", order.Status, headers=("ETag",))

_ORDERS = (
    Operation(
        "POST",
        "/order",
        "createOrder",
        "Create an order. Its goods are taken from the stock, all of them or none.",
        {201: Answer("Created, and on disk.", order.Status, headers=("Location", "ETag"))},
        scope=order.ADD_ORDER,
        body=order.CreateOrder,
        parameters=(_KEY,),
        errors={
            **_BODY_ERRORS,
            409: ("order-exists", "operation-in-progress", "out-of-stock"),
            422: ("unknown-item", "repeated-item", "idempotency-key-reused"),
            **_UNDONE,
        },
    ),
    Operation(
        "GET",
        "/order",
        "listOrders",
        f"List own orders, newest first; everybody's with `{order.READ_ALL_ORDERS}`.",
        {200: Answer("A page of orders.", order.OrderList)},
        scope="",
        parameters=(
            Parameter("limit", "query", f"Orders of a page: 1 to {order.MAX_PAGE}.", int),
            Parameter("cursor", "query", "The `next` of the page before."),
        ),
        errors={400: ("invalid-limit", "invalid-cursor")},
    ),
    Operation(
        "GET",
        "/order/<order_id>",
        "getOrder",
        "Read an order.",
        {200: Answer("The order.", order.Order, headers=("ETag",)), 304: _NOT_MODIFIED},
        parameters=(_ORDER, _IF_NONE_MATCH),
        errors={404: ("no-such-order",)},
    ),
    Operation(
        "PUT",
        "/order/<order_id>",
        "updateOrder",
        "Replace name and items of an order. The stock moves by the difference.",
        {200: _DONE},
        scope=order.UPDATE_ORDER,
        body=order.UpdateOrder,
        parameters=(_ORDER, _IF_MATCH, _KEY),
        errors={
            **_BODY_ERRORS,
            404: ("no-such-order",),
            409: ("operation-in-progress", "out-of-stock"),
            412: ("version-mismatch",),
            422: ("unknown-item", "repeated-item", "idempotency-key-reused"),
            **_UNDONE,
        },
    ),
    Operation(
        "DELETE",
        "/order/<order_id>",
        "cancelOrder",
        "Cancel an order. Its goods go back to the stock.",
        {200: Answer("Cancelled, and on disk.", order.Status)},
        scope=order.CANCEL_ORDER,
        parameters=(_ORDER, _IF_MATCH, _KEY),
        errors={
            400: ("invalid-idempotency-key",),
            404: ("no-such-order",),
            409: ("operation-in-progress",),
            412: ("version-mismatch",),
            422: ("idempotency-key-reused",),
            **_UNDONE,
        },
    ),
    Operation(
        "GET",
        "/order/<order_id>/history",
        "getOrderHistory",
        f"Who changed an order, through whom, and when: for its owner, or with `{order.READ_ALL_ORDERS}`.",
        {200: Answer("All changes, oldest first.", order.OrderHistory)},
        scope="",
        parameters=(_ORDER,),
        errors={404: ("no-such-order",)},
    ),
)

_JOURNAL = (
    Operation(
        "GET",
        "/journal",
        "listJournal",
        "List changes of orders that have no outcome yet.",
        {200: Answer("All of them, oldest first.", order.Journal)},
        scope=order.OPERATE,
    ),
    Operation(
        "POST",
        "/journal/<operation_id>/retry",
        "retryOperation",
        "Have a change tried again that is stuck.",
        {202: Answer("It will be tried again.", order.Status)},
        scope=order.OPERATE,
        parameters=(_OPERATION,),
        errors={404: ("no-such-operation",), 409: ("operation-finished",)},
    ),
)

_OPERATIONS = (
    Operation(
        "GET",
        gateway.STATUS_PATH,
        "getStatus",
        "See the services, and the requests between them in the last minute.",
        {200: Answer("What each supervisor knows.", gateway.Seen, headers=("ETag",)), 304: _NOT_MODIFIED},
        scope=order.OPERATE,
        parameters=(_IF_NONE_MATCH,),
    ),
    Operation(
        "GET",
        gateway.HISTORY_PATH,
        "getHistory",
        "See the last three minutes of the requests between services, a sample every two seconds.",
        {200: Answer("What each supervisor has kept.", gateway.Seen, headers=("ETag",)), 304: _NOT_MODIFIED},
        scope=order.OPERATE,
        parameters=(_IF_NONE_MATCH,),
    ),
    Operation(
        "GET",
        gateway.ACCOUNTS_PATH,
        "getAccounts",
        "Account for every piece: what was added is in orders or in stock.",
        {200: Answer("All goods.", gateway.Accounts)},
        scope=order.OPERATE,
        errors={
            503: (
                "inventory-no-answer",
                "inventory-rubbish",
                "inventory-unavailable",
                "inventory-unreachable",
                "order-no-answer",
                "order-rubbish",
                "order-unreachable",
            )
        },
    ),
    Operation(
        "GET",
        "/operate/held",
        "listHeld",
        "Count what orders hold of each good, and say whether that is of one moment.",
        {200: Answer("All goods that are in orders.", order.Held)},
        scope=order.OPERATE,
    ),
    Operation(
        "GET",
        "/operate/keys",
        "listKeys",
        "List the keys that tokens are signed with.",
        {200: Answer("All of them, the oldest first.", sts.KeyList)},
        scope=order.OPERATE,
    ),
    Operation(
        "POST",
        "/operate/keys/rotate",
        "rotateKeys",
        "Publish a next signing key, which signs later. If there is one already, it stays.",
        {200: Answer("The next key, on disk.", sts.KeyStatus)},
        scope=order.OPERATE,
    ),
    Operation(
        "GET",
        "/operate/sessions",
        "listSessions",
        "List sessions of browsers in which users have logged in.",
        {200: Answer("Those that go on, the last used first; 200 at most.", sts.SessionList)},
        scope=order.OPERATE,
    ),
    Operation(
        "POST",
        "/operate/sessions/<session_id>/revoke",
        "revokeSession",
        "End a session, with all tokens that came of it.",
        {204: Answer("It is over, and that is on disk.")},
        scope=order.OPERATE,
        parameters=(_SESSION,),
        errors={404: ("no-such-session",)},
    ),
)

_STOCK = (
    Operation(
        "GET",
        "/inventory",
        "listStock",
        "List what there is, by category and code.",
        {200: Answer("A page of items.", inventory.Stock, headers=("ETag",)), 304: _NOT_MODIFIED},
        parameters=(_STOCK_LIMIT, _AFTER, _IF_NONE_MATCH),
        errors={400: ("invalid-limit", "invalid-after")},
    ),
    Operation(
        "GET",
        "/inventory/<category>",
        "listCategory",
        "List what there is in one category.",
        {200: Answer("A page of items.", inventory.Stock, headers=("ETag",)), 304: _NOT_MODIFIED},
        parameters=(_CATEGORY, _STOCK_LIMIT, _AFTER, _IF_NONE_MATCH),
        errors={400: ("invalid-limit", "invalid-after"), 404: (inventory.NO_SUCH_CATEGORY,)},
    ),
    Operation(
        "GET",
        "/inventory/<category>/<code>",
        "getItem",
        "Read one item.",
        {200: Answer("The item.", inventory.Item, headers=("ETag",)), 304: _NOT_MODIFIED},
        parameters=(_CATEGORY, _CODE, _IF_NONE_MATCH),
        errors={404: (inventory.NO_SUCH_ITEM,)},
    ),
)

OPERATIONS = _ORDERS + _JOURNAL + _OPERATIONS + _STOCK
