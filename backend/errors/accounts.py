"""Signing in, and who works where."""

from backend.errors.base import Conflict, InvalidInput, NotAuthenticated


class InvalidContact(InvalidInput):
    code = "invalid_contact"
    title = "This is not a phone number or e-mail address that can be reached"


class WeakPassword(InvalidInput):
    code = "weak_password"
    title = "The password is too easy to guess"


class WrongCredentials(NotAuthenticated):
    code = "wrong_credentials"
    title = "The name or the password is wrong"


class TokenExpired(NotAuthenticated):
    code = "token_expired"
    title = "The access token has expired; refresh it"


class RefreshReused(NotAuthenticated):
    code = "refresh_reused"
    title = "This refresh token was used before; the login has been ended"


class ContactTaken(Conflict):
    code = "contact_taken"
    title = "An account with this phone or e-mail exists; sign in"


class AlreadyRegistered(Conflict):
    code = "already_registered"
    title = "This account has a sign-in already"


class LastManager(Conflict):
    code = "last_manager"
    title = "The store would have no manager left; make another one first"
