import django.db.models.deletion
from django.db import migrations, models

# Django declares no foreign key of two columns. This one says in one place what could else differ
# in each row: whose a delivery is, and whose its webhook is. It stands in the place of Django's own
# constraint on webhook_id, so an insert is checked once, as before.
TIE = """
ALTER TABLE webhooks_webhookconfig
    ADD CONSTRAINT a_webhook_is_one_accounts UNIQUE (id, account_id);
ALTER TABLE webhooks_delivery
    ADD CONSTRAINT a_delivery_is_of_its_webhooks_account FOREIGN KEY (webhook_id, account_id)
    REFERENCES webhooks_webhookconfig (id, account_id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE webhooks_notice
    ADD CONSTRAINT a_notice_is_of_its_webhooks_account FOREIGN KEY (webhook_id, account_id)
    REFERENCES webhooks_webhookconfig (id, account_id) DEFERRABLE INITIALLY DEFERRED;
"""
UNTIE = """
ALTER TABLE webhooks_notice DROP CONSTRAINT a_notice_is_of_its_webhooks_account;
ALTER TABLE webhooks_delivery DROP CONSTRAINT a_delivery_is_of_its_webhooks_account;
ALTER TABLE webhooks_webhookconfig DROP CONSTRAINT a_webhook_is_one_accounts;
"""
FILL = """
UPDATE webhooks_delivery d SET account_id = w.account_id
FROM webhooks_webhookconfig w WHERE w.id = d.webhook_id
"""


def account(**options):
    return models.ForeignKey(
        db_constraint=False, db_index=False, editable=False, help_text="Whose webhook it is.",
        on_delete=django.db.models.deletion.DO_NOTHING, related_name="+", to="metaaccess.account",
        **options,
    )


class Migration(migrations.Migration):
    dependencies = [
        ("metaaccess", "0004_for_webhook_check"),
        ("webhooks", "0005_notices_and_outages"),
    ]
    operations = [
        migrations.AddField("delivery", "account", account(null=True)),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        # What was filled in is checked before the table is changed.
        migrations.RunSQL("SET CONSTRAINTS ALL IMMEDIATE", migrations.RunSQL.noop),
        migrations.AlterField("delivery", "account", account()),
        migrations.AlterField(
            "delivery",
            "webhook",
            models.ForeignKey(
                db_constraint=False, db_index=False,
                on_delete=django.db.models.deletion.CASCADE, related_name="deliveries",
                to="webhooks.webhookconfig",
            ),
        ),
        migrations.RunSQL(TIE, UNTIE),
        migrations.AddField(
            "webhookconfig",
            "previous_signing_secret_sealed",
            models.TextField(
                blank=True, default="", editable=False,
                help_text="The one that it replaced, encrypted.",
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            "webhookconfig",
            "previous_signing_secret_until",
            models.DateTimeField(
                editable=False, null=True,
                help_text="Until when pushes are signed with that one, too.",
            ),
        ),
        migrations.AddConstraint(
            "webhookconfig",
            models.CheckConstraint(
                condition=models.Q(previous_signing_secret_sealed="", previous_signing_secret_until=None)
                | ~models.Q(signing_secret_sealed="")
                & ~models.Q(previous_signing_secret_sealed="")
                & models.Q(previous_signing_secret_until__isnull=False),
                name="a_replaced_signing_secret_has_an_end",
            ),
        ),
    ]
