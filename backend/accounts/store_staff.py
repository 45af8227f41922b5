"""The staff of stores in MongoDB. Whoever changes a role does so in one transaction that all changes of the store meet in."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument

from backend.accounts.documents import UserDocument
from backend.accounts.rules import Kind, Role, Roles, StoreRole
from backend.kit.mongo import Session, in_transaction

_NO_CODE = {"code_digest": None, "code_expires_at": None}


async def of_store(store_id: str) -> list[UserDocument]:
    """Who has a role there, by name."""
    return await UserDocument.find(_works_at(store_id)).sort("name", "_id").to_list()


async def add_role(email: str, held: StoreRole) -> UserDocument | None:
    """Give a role to the staff account with this e-mail; None when there is none, or it has one at this store.

    A code that somebody has for the account is void from now on: it was given for fewer stores.
    """
    added = await UserDocument.get_pymongo_collection().find_one_and_update(
        {"email": email, "kind": Kind.STAFF, "roles.store_id": {"$ne": held.store_id}},
        {"$push": {"roles": asdict(held)}, "$set": _NO_CODE},
        return_document=ReturnDocument.AFTER,
    )
    return UserDocument.model_validate(added) if added else None


async def change_roles(
    store_id: str, actor_id: str, person_id: str, decide: Callable[[Roles, Roles, int], Roles]
) -> UserDocument:
    """Give a person the roles that `decide` makes of those of the actor, of the person, and of the number of managers.

    Of several changes at once of a store that has a manager each sees what those before it did: every one writes to
    all managers first, and MongoDB lets only one do so at a time. A code for the account is void.

    Raises:
        Whatever `decide` raises; then nothing is changed.
    """
    users = UserDocument.get_pymongo_collection()

    async def change(session: Session) -> dict[str, Any]:
        managers = await users.update_many(
            _works_at(store_id, Role.MANAGER), {"$inc": {"staff_changes": 1}}, session=session
        )
        actor = await users.find_one({"_id": actor_id}, session=session)
        person = await users.find_one({"_id": person_id}, session=session)
        roles = decide(_roles(actor), _roles(person), managers.modified_count)
        changes = {"roles": [asdict(role) for role in roles], **_NO_CODE}
        await users.update_one({"_id": person_id}, {"$set": changes}, session=session)
        return {**(person or {}), **changes}

    changed: UserDocument = UserDocument.model_validate(await in_transaction(users.database.client, change))
    return changed


async def put_code(user_id: str, roles: Roles, code_digest: str, expires_at: datetime) -> bool:
    """Store a code for somebody who has exactly these roles; False when they have others by now."""
    done = await UserDocument.get_pymongo_collection().update_one(
        {"_id": user_id, "roles": [asdict(role) for role in roles]},
        {"$set": {"code_digest": code_digest, "code_expires_at": expires_at}},
    )
    return done.matched_count == 1


async def has_code(email: str, code_digest: str, now: datetime) -> bool:
    found = await UserDocument.get_pymongo_collection().find_one(_with_code(email, code_digest, now))
    return found is not None


async def use_code(email: str, code_digest: str, now: datetime, password_hash: str) -> UserDocument | None:
    """Set a new password by a code that is good until now; of several at once one gets the account, the others None."""
    changed = await UserDocument.get_pymongo_collection().find_one_and_update(
        _with_code(email, code_digest, now),
        {"$set": {"password_hash": password_hash, **_NO_CODE}, "$inc": {"password_version": 1}},
        return_document=ReturnDocument.AFTER,
    )
    return UserDocument.model_validate(changed) if changed else None


def _works_at(store_id: str, role: Role | None = None) -> dict[str, Any]:
    held = {"store_id": store_id} if role is None else {"store_id": store_id, "role": role}
    return {"kind": Kind.STAFF, "roles.store_id": store_id, "roles": {"$elemMatch": held}}


def _with_code(email: str, code_digest: str, now: datetime) -> dict[str, Any]:
    return {
        "email": email,
        "kind": Kind.STAFF,
        "code_digest": code_digest,
        "code_expires_at": {"$gt": now},
    }


def _roles(row: dict[str, Any] | None) -> Roles:
    return UserDocument.model_validate(row).roles if row else ()
