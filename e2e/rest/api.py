"""Readings behind the paginators, authentications and throttles of Django REST framework and Tastypie: api.py DATABASE PORT ROWS.

Every path ends in the number of readings that it has to give, from 0 to ROWS: `/page/25` gives the first 25, ten a page.

- `/none`: all in one list. `/page`, `/offset`, `/cursor`: an envelope with an absolute `next`. `/link`: a list with a `Link` header.
- `/tastypie/N/`: `objects` beside `meta`, whose `next` is relative.
- `/basic`, `/token`: for `loader` with this password or token. `/tastypie-key/N/`: for Tastypie's API key, in a header or the query.
- `/throttled`: three requests in two seconds, and for more of them 429 with `Retry-After`.

Django's own server runs it and logs every request.
"""

import os
import sys

import django
from django.conf import settings

database, port, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
USER = "loader"
SECRET = os.environ["API_SECRET"]

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    APPEND_SLASH=False,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": database}},
    INSTALLED_APPS=[
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "rest_framework",
        "rest_framework.authtoken",
        "tastypie",
    ],
    MIDDLEWARE=[],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "DEFAULT_PERMISSION_CLASSES": [],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    },
    ROOT_URLCONF=__name__,
    SECRET_KEY="signs nothing here",
    USE_TZ=True,
)
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command, execute_from_command_line  # noqa: E402
from django.db import connection, models  # noqa: E402
from django.urls import include, path  # noqa: E402
from drf_link_header_pagination import LinkHeaderPagination  # noqa: E402
from rest_framework import authentication, generics, pagination, permissions, serializers, throttling  # noqa: E402
from rest_framework.authtoken.models import Token  # noqa: E402
from tastypie.authentication import ApiKeyAuthentication, Authentication  # noqa: E402
from tastypie.models import ApiKey  # noqa: E402
from tastypie.resources import ModelResource  # noqa: E402


class Reading(models.Model):
    value = models.FloatField()
    note = models.TextField(null=True)

    class Meta:
        app_label = "readings"


class ReadingSerializer(serializers.ModelSerializer):
    class Meta:
        model = Reading
        fields = ["id", "value", "note"]


class Numbered(pagination.PageNumberPagination):
    page_size = 10
    page_size_query_param = "page_size"


class Counted(pagination.LimitOffsetPagination):
    default_limit = 10


class Pointed(pagination.CursorPagination):
    page_size = 10
    ordering = "id"


class Linked(LinkHeaderPagination):
    page_size = 10


class Bearer(authentication.TokenAuthentication):
    keyword = "Bearer"


class PerClient(throttling.AnonRateThrottle):
    """Three requests in two seconds, which the framework's own notation can't say."""

    rate = "3 in 2 seconds"

    def parse_rate(self, rate):
        return 3, 2


def readings(paginator, authenticators=(), throttles=()):
    """A view of the first readings of the table."""

    class View(generics.ListAPIView):
        serializer_class = ReadingSerializer
        pagination_class = paginator
        authentication_classes = authenticators
        permission_classes = [permissions.IsAuthenticated] if authenticators else []
        throttle_classes = throttles

        def get_queryset(self):
            return Reading.objects.filter(id__lte=self.kwargs["count"]).order_by("id")

    return View.as_view()


def resource(name, authentication_class):
    """The same by Tastypie; the number of readings stands in the path."""

    class ReadingResource(ModelResource):
        class Meta:
            queryset = Reading.objects.order_by("id")
            resource_name = name
            limit = 10
            authentication = authentication_class()

        def base_urls(self):
            return [path(f"{name}/<int:count>/", self.wrap_view("dispatch_list"), name="api_dispatch_list")]

        def dispatch_list(self, request, count, **kwargs):
            self.count = count
            request.path = f"/{name}/{count}/"
            return super().dispatch_list(request, **kwargs)

        def get_object_list(self, request):
            return super().get_object_list(request).filter(id__lte=self.count)

        def get_resource_uri(self, bundle_or_obj=None, url_name="api_dispatch_list"):
            return f"/{name}/{self.count}/" if bundle_or_obj is None else ""

    return include(ReadingResource().urls)


urlpatterns = [
    path("none/<int:count>", readings(None)),
    path("page/<int:count>", readings(Numbered)),
    path("offset/<int:count>", readings(Counted)),
    path("cursor/<int:count>", readings(Pointed)),
    path("link/<int:count>", readings(Linked)),
    path("basic/<int:count>", readings(Numbered, [authentication.BasicAuthentication])),
    path("token/<int:count>", readings(Numbered, [Bearer])),
    path("throttled/<int:count>", readings(Numbered, throttles=[PerClient])),
    path("", resource("tastypie", Authentication)),
    path("", resource("tastypie-key", ApiKeyAuthentication)),
]


def fill():
    """The tables, once, before anything listens."""
    call_command("migrate", verbosity=0)
    with connection.schema_editor() as editor:
        editor.create_model(Reading)
    Reading.objects.bulk_create(
        Reading(id=number, value=number / 4, note=None if number % 5 == 0 else f"reading {number}")
        for number in range(1, rows + 1)
    )
    user = User.objects.create_user(USER, password=SECRET)
    Token.objects.create(user=user, key=SECRET)
    ApiKey.objects.create(user=user, key=SECRET)


if not os.path.exists(database):
    fill()
execute_from_command_line([sys.argv[0], "runserver", "--noreload", f"127.0.0.1:{port}"])
