"""Accounts and logins in MongoDB. Whatever two requests may want at once is one conditional write."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from backend.accounts.contacts import Contacts
from backend.accounts.documents import EndedWhy, LoginDocument, UserDocument
from backend.accounts.rules import Kind
from backend.errors import ContactTaken


async def find_user(user_id: str) -> UserDocument | None:
    return await UserDocument.get(user_id)


async def find_by_contacts(contacts: Contacts) -> UserDocument | None:
    return await UserDocument.find_one(dict(contacts))


async def insert_user(user: UserDocument) -> None:
    """Add the account, unless its phone or e-mail has one: the unique indexes decide.

    Raises:
        ContactTaken
    """
    try:
        await user.insert()
    except DuplicateKeyError:
        raise ContactTaken from None


async def upgrade_guest(
    user_id: str, name: str, password_hash: str, contacts: Contacts
) -> UserDocument | None:
    """Make the guest a customer, once; None when the account is no guest's.

    Raises:
        ContactTaken
    """
    changes = {**contacts, "kind": Kind.CUSTOMER, "name": name, "password_hash": password_hash}
    return await _change_if_kind(Kind.GUEST, {"_id": user_id}, changes)


async def insert_or_update_staff(user: UserDocument) -> str:
    """Add the account, or give its name, password and roles to the staff account that has its e-mail.

    Returns:
        The id of the account: an existing one keeps its own.

    Raises:
        ContactTaken: the e-mail is a customer's.
    """
    try:
        await insert_user(user)
    except ContactTaken:
        roles = [asdict(role) for role in user.roles]
        changes = {"name": user.name, "password_hash": user.password_hash, "roles": roles}
        known = await _change_if_kind(Kind.STAFF, {"email": user.email}, changes)
        if known is None:
            raise
        return known.id
    return user.id


async def _change_if_kind(kind: Kind, who: dict[str, Any], changes: dict[str, Any]) -> UserDocument | None:
    """Not by findAndModify: where a contact is taken, mongod writes that command into its log, the contact in it."""
    users = UserDocument.get_pymongo_collection()
    try:
        done = await users.update_one({**who, "kind": kind}, {"$set": changes})
    except DuplicateKeyError:
        raise ContactTaken from None
    changed = await users.find_one(who) if done.matched_count else None
    return changed and UserDocument.model_validate(changed)


async def replace_hash(user_id: str, old: str, new: str) -> None:
    """Replace exactly this hash; a password changed meanwhile stays."""
    await UserDocument.get_pymongo_collection().update_one(
        {"_id": user_id, "password_hash": old}, {"$set": {"password_hash": new}}
    )


async def change_password(user_id: str, version: int, password_hash: str) -> bool:
    """Put a new password in the place of this version; False when another did so first."""
    done = await UserDocument.get_pymongo_collection().update_one(
        {"_id": user_id, "password_version": version},
        {"$set": {"password_hash": password_hash}, "$inc": {"password_version": 1}},
    )
    return done.modified_count == 1


async def insert_login(login: LoginDocument) -> None:
    await login.insert()


async def find_live_login(login_id: str, now: datetime) -> LoginDocument | None:
    return await LoginDocument.find_one(_live(login_id, now))


async def find_user_of_live_login(login_id: str, now: datetime) -> UserDocument | None:
    """Who is signed in by this login, in one round trip: every request asks."""
    users = UserDocument.get_collection_name()
    found = await LoginDocument.get_pymongo_collection().aggregate(
        [
            {"$match": _live(login_id, now)},
            {"$lookup": {"from": users, "localField": "user_id", "foreignField": "_id", "as": "user"}},
            {"$unwind": "$user"},
            {"$replaceRoot": {"newRoot": "$user"}},
        ]
    )
    return next((UserDocument.model_validate(user) for user in await found.to_list()), None)


async def rotate_if_current(
    login_id: str, presented: str, successor: str, now: datetime, expires_at: datetime
) -> LoginDocument | None:
    """Put the successor's digest in the place of the presented one, if that is current in a live login.

    Of any number at once exactly one gets the login, the others None. None is known to a majority, like any
    other result: a read that follows sees at least the write that made it None.
    """
    rotated = await LoginDocument.get_pymongo_collection().find_one_and_update(
        {**_live(login_id, now), "refresh_digest": presented},
        {
            "$set": {
                "refresh_digest": successor,
                "previous_digest": presented,
                "rotated_at": now,
                "expires_at": expires_at,
            }
        },
        return_document=ReturnDocument.AFTER,
    )
    return rotated and LoginDocument.model_validate(rotated)


async def end_login(login_id: str, why: EndedWhy, now: datetime) -> None:
    """End it; of several reasons the first is kept."""
    await LoginDocument.get_pymongo_collection().update_one(
        {"_id": login_id, "ended_at": None}, {"$set": {"ended_at": now, "ended_why": why}}
    )


async def end_own_login(user_id: str, login_id: str, now: datetime) -> bool:
    """Whether the user had this live login; it has ended now."""
    done = await LoginDocument.get_pymongo_collection().update_one(
        {**_live(login_id, now), "user_id": user_id}, {"$set": {"ended_at": now, "ended_why": "ended"}}
    )
    return done.modified_count == 1


async def end_others(user_id: str, kept: str, why: EndedWhy, now: datetime) -> None:
    """End all logins of the user but one."""
    await LoginDocument.get_pymongo_collection().update_many(
        {"user_id": user_id, "_id": {"$ne": kept}, "ended_at": None},
        {"$set": {"ended_at": now, "ended_why": why}},
    )


async def live_logins(user_id: str, now: datetime) -> list[LoginDocument]:
    """The user's, the newest first, at most 100."""
    live = {"user_id": user_id, "ended_at": None, "expires_at": {"$gt": now}}
    return await LoginDocument.find(live).sort("-begun_at", "-_id").limit(100).to_list()


async def has_login_from(user_id: str, network: str) -> bool:
    """Whether there is a login of the user from there, live or ended but not forgotten yet."""
    found = await LoginDocument.get_pymongo_collection().find_one(
        {"user_id": user_id, "network": network}, {"_id": 1}
    )
    return found is not None


async def logins_ended_since(moment: datetime) -> frozenset[str]:
    """Ids of the logins that ended then or later, by the clocks of those who ended them."""
    found = LoginDocument.get_pymongo_collection().find({"ended_at": {"$gte": moment}}, {"_id": 1})
    return frozenset([row["_id"] async for row in found])


def _live(login_id: str, now: datetime) -> dict[str, Any]:
    return {"_id": login_id, "ended_at": None, "expires_at": {"$gt": now}}
