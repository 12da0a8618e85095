"""The evidence of a platform outage in columns, the time of a webhook's next probe, and figures
that are counted now and then."""

from django.db import migrations, models
from django.utils import timezone


class Migration(migrations.Migration):
    dependencies = [
        ("metaaccess", "0004_for_webhook_check"),
        ("webhooks", "0007_one_definition_of_held_and_a_mark_of_deletion"),
    ]

    operations = [
        migrations.AlterField(
            "notice",
            "kind",
            models.CharField(
                choices=[
                    ("failing", "half of the failures that disable a webhook"),
                    ("nearly_disabled", "four fifths of them"),
                    ("disabled", "the webhook was disabled automatically"),
                    ("recovered", "a push arrives again"),
                    ("certificate", "the certificate ends in 14 days"),
                    ("certificate_last", "the certificate ends in 3 days"),
                    ("outage", "a platform outage began"),
                    ("outage_over", "the platform outage is over"),
                ],
                help_text="What it tells.",
                max_length=20,
            ),
        ),
        migrations.RemoveField("outage", "evidence"),
        migrations.RemoveField("outage", "probed"),
        migrations.RemoveField("outage", "probed_at"),
        migrations.AddField(
            "outage",
            "silent_since",
            models.DateTimeField(
                default=timezone.now,
                help_text="When the first of the receivers fell silent.",
            ),
            preserve_default=False,
        ),
        *(
            migrations.AddField(
                "outage", name, models.PositiveIntegerField(default=0, help_text=help_text),
                preserve_default=False,
            )
            for name, help_text in (
                ("receivers", "How many hosts had fallen silent."),
                ("accounts", "How many accounts they belong to."),
                ("answered", "How many other hosts answered meanwhile."),
            )
        ),
        migrations.AddField(
            "outage", "told",
            models.BooleanField(default=False, help_text="Whether operators were mailed."),
        ),
        migrations.AddField(
            "outage",
            "ended_because",
            models.CharField(
                blank=True,
                default="",
                choices=[
                    ("others_answer", "enough receivers answer"),
                    ("few_silent", "too few receivers with something to push are unreachable"),
                    ("longest", "it stood for WEBHOOK_OUTAGE_LONGEST"),
                    ("switched_off", "WEBHOOK_OUTAGE_RECEIVERS is 0"),
                    ("person", "a person ended it"),
                ],
                max_length=20,
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            "outage",
            "ended_by",
            models.CharField(
                blank=True, default="", help_text="The person who ended it.", max_length=254
            ),
            preserve_default=False,
        ),
        migrations.RunSQL(
            "UPDATE webhooks_outage SET silent_since = began_at,"
            " ended_because = CASE WHEN ended_at IS NULL THEN '' ELSE 'others_answer' END",
            migrations.RunSQL.noop,
        ),
        migrations.AddConstraint(
            "outage",
            models.CheckConstraint(
                condition=models.Q(ended_at=None, ended_because="")
                | models.Q(ended_at__isnull=False) & ~models.Q(ended_because=""),
                name="an_outage_that_ended_says_why",
            ),
        ),
        migrations.AddField(
            "webhookconfig",
            "probe_due_at",
            models.DateTimeField(
                editable=False,
                help_text="In a platform outage: when an unreachable receiver is probed next; none: now.",
                null=True,
            ),
        ),
        migrations.AddIndex(
            "webhookconfig",
            models.Index(
                condition=models.Q(disabled_at=None, unreachable_since__isnull=False),
                fields=["unreachable_since"],
                name="silent_webhooks",
            ),
        ),
        migrations.CreateModel(
            name="Snapshot",
            fields=[
                (
                    "name",
                    models.CharField(
                        choices=[
                            ("events", "what is still to be delivered"),
                            ("check", "the hourly webhook_check"),
                        ],
                        max_length=20,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "taken_at",
                    models.DateTimeField(help_text="When counting last succeeded.", null=True),
                ),
                (
                    "figures",
                    models.JSONField(
                        default=dict, help_text="Empty: the last attempt did not finish."
                    ),
                ),
            ],
        ),
    ]
