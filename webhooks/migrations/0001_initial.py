import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
import uuid
import webhooks.configuration.validators
import webhooks.configuration.webhook
from django.db import migrations, models


# By default PostgreSQL vacuums a table when a fifth of it is dead. With a long history that would
# leave millions of dead entries in the small indexes of open deliveries, which each claim walks.
VACUUM_BY_COUNT = """
ALTER TABLE webhooks_delivery SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000)
"""
# Django cannot declare a foreign key of two columns. These guarantee that a delivery or a notice
# belongs to the account of its webhook. They replace Django's own constraint on webhook_id, so an
# insert is still checked once.
SAME_ACCOUNT = """
ALTER TABLE webhooks_webhookconfig
    ADD CONSTRAINT a_webhook_is_one_accounts UNIQUE (id, account_id);
ALTER TABLE webhooks_delivery
    ADD CONSTRAINT a_delivery_is_of_its_webhooks_account FOREIGN KEY (webhook_id, account_id)
    REFERENCES webhooks_webhookconfig (id, account_id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE webhooks_notice
    ADD CONSTRAINT a_notice_is_of_its_webhooks_account FOREIGN KEY (webhook_id, account_id)
    REFERENCES webhooks_webhookconfig (id, account_id) DEFERRABLE INITIALLY DEFERRED;
"""


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('metaaccess', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='Snapshot',
            fields=[
                ('name', models.CharField(choices=[('events', 'events that are still to be delivered'), ('check', 'the hourly webhook_check')], max_length=20, primary_key=True, serialize=False)),
                ('taken_at', models.DateTimeField(help_text='When a count last succeeded.', null=True)),
                ('figures', models.JSONField(default=dict, help_text='Empty: the last count did not finish.')),
            ],
        ),
        migrations.CreateModel(
            name='Outage',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('began_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('silent_since', models.DateTimeField(help_text='When the first receiver became unreachable.')),
                ('receivers', models.PositiveIntegerField(help_text='How many hosts became unreachable.')),
                ('accounts', models.PositiveIntegerField(help_text='How many accounts they belong to.')),
                ('answered', models.PositiveIntegerField(help_text='How many other hosts answered meanwhile.')),
                ('told', models.BooleanField(default=False, help_text='Whether operators were notified.')),
                ('ended_at', models.DateTimeField(help_text='Empty: it has not ended.', null=True)),
                ('ended_because', models.CharField(blank=True, choices=[('others_answer', 'enough receivers answer'), ('few_silent', 'too few receivers with waiting events are unreachable'), ('longest', 'it lasted for WEBHOOK_OUTAGE_LONGEST'), ('switched_off', 'WEBHOOK_OUTAGE_RECEIVERS is 0'), ('person', 'an operator ended it')], max_length=20)),
                ('ended_by', models.CharField(blank=True, help_text='The operator who ended it.', max_length=254)),
            ],
            options={
                'constraints': [models.UniqueConstraint(models.Value(1), condition=models.Q(('ended_at', None)), name='one_outage_at_a_time'), models.CheckConstraint(condition=models.Q(models.Q(('ended_at', None), ('ended_because', '')), models.Q(('ended_at__isnull', False), models.Q(('ended_because', ''), _negated=True)), _connector='OR'), name='an_outage_that_ended_says_why')],
            },
        ),
        migrations.CreateModel(
            name='WebhookConfig',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('consecutive_failures', models.PositiveIntegerField(default=0, editable=False, help_text='Consecutive failed pushes. A successful push resets it to 0.', verbose_name='consecutive failures')),
                ('failing_since', models.DateTimeField(editable=False, help_text='When the first of these pushes failed.', null=True)),
                ('told_of_trouble', models.BooleanField(default=False, editable=False)),
                ('unreachable_since', models.DateTimeField(editable=False, help_text='When the receiver became unreachable. Empty: the last attempt got an answer.', null=True)),
                ('probe_due_at', models.DateTimeField(editable=False, help_text='When a platform outage next probes an unreachable receiver. Empty: now.', null=True)),
                ('certificate_from', models.DateTimeField(editable=False, help_text="Start of validity of the receiver's certificate.", null=True)),
                ('certificate_until', models.DateTimeField(editable=False, help_text="End of validity of the receiver's certificate.", null=True)),
                ('epoch', models.PositiveIntegerField(default=1, editable=False)),
                ('disabled_at', models.DateTimeField(blank=True, editable=False, help_text='When the webhook was disabled. Empty: it is enabled.', null=True)),
                ('disabled_by', models.CharField(blank=True, editable=False, help_text='The user or process that disabled it.', max_length=254)),
                ('disabled_because', models.CharField(blank=True, choices=[('failures', 'Too many consecutive failed pushes'), ('administrator', 'An administrator disabled it')], editable=False, help_text='Why.', max_length=20)),
                ('disabled_note', models.TextField(blank=True, editable=False, help_text='The reason that the administrator gave.')),
                ('disabled_failures', models.PositiveIntegerField(editable=False, help_text='How many consecutive failed pushes disabled it.', null=True)),
                ('disabled_failing_since', models.DateTimeField(editable=False, help_text='When the first of them failed.', null=True)),
                ('disabled_last_failure', models.TextField(blank=True, editable=False, help_text='The error of the last of them.')),
                ('uid', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('api_key_sealed', models.TextField(editable=False, help_text='The API key, encrypted.')),
                ('api_key_hint', models.CharField(editable=False, help_text="The API key's last 4 characters.", max_length=4, verbose_name='API key')),
                ('signing_secret_sealed', models.TextField(blank=True, editable=False, help_text='The signing secret, encrypted. Empty: not signed.')),
                ('signing_secret_hint', models.CharField(blank=True, editable=False, help_text="The signing secret's last 4 characters.", max_length=4, verbose_name='signing secret')),
                ('previous_signing_secret_sealed', models.TextField(blank=True, editable=False, help_text='The replaced signing secret, encrypted.')),
                ('previous_signing_secret_until', models.DateTimeField(editable=False, help_text='The replaced signing secret signs until this time.', null=True)),
                ('name', models.CharField(blank=True, help_text='A name for people.', max_length=200)),
                ('url', models.CharField(help_text='Where pushes are sent, such as https://siem.example.com/metaaccess.', max_length=2048, validators=[webhooks.configuration.validators.validate_callback_url], verbose_name='callback API URL')),
                ('events', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('compliant', 'Compliant'), ('non_compliant', 'Non-compliant'), ('installed', 'Installed'), ('deleted', 'Deleted')], max_length=20), default=webhooks.configuration.webhook.every_status, help_text='The statuses to push.', size=None)),
                ('events_per_push', models.PositiveSmallIntegerField(default=1, help_text='How many waiting events one push may carry (1 to 500).', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(500)], verbose_name='events per push')),
                ('in_order', models.BooleanField(default=False, help_text='Send one push at a time, so that no event overtakes another.', verbose_name='in order')),
                ('deleted_at', models.DateTimeField(editable=False, help_text='When it was deleted. It is hidden, and its rows are being removed.', null=True)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('subscribed_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('account', models.ForeignKey(help_text='The account that the webhook belongs to.', on_delete=django.db.models.deletion.CASCADE, related_name='webhooks', to='metaaccess.account')),
            ],
            options={
                'verbose_name': 'webhook',
                'ordering': ('pk',),
            },
        ),
        migrations.CreateModel(
            name='Notice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('failing', 'half of the failures that disable a webhook'), ('nearly_disabled', 'four fifths of the failures that disable a webhook'), ('disabled', 'the webhook was disabled automatically'), ('recovered', 'pushes succeed again'), ('certificate', 'the certificate expires in 14 days'), ('certificate_last', 'the certificate expires in 3 days'), ('outage', 'a platform outage began'), ('outage_over', 'the platform outage is over')], help_text='What it reports.', max_length=20)),
                ('facts', models.JSONField(default=dict, help_text='The values that its text shows.')),
                ('uid', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('attempts', models.PositiveSmallIntegerField(default=0)),
                ('due_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), help_text='When a worker may send it. Empty: it is done.', null=True)),
                ('sent_at', models.DateTimeField(help_text='When it was sent. Empty although it is done: it was given up.', null=True)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('account', models.ForeignKey(help_text='Its administrators get the mail. Empty: the operators.', null=True, on_delete=django.db.models.deletion.CASCADE, to='metaaccess.account')),
                ('webhook', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='notices', to='webhooks.webhookconfig')),
            ],
        ),
        migrations.CreateModel(
            name='Delivery',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event_id', models.UUIDField(help_text='The event. The Device log has the same ID.')),
                ('device_id', models.CharField(help_text='The device whose status changed.', max_length=16)),
                ('status', models.CharField(help_text='The new status.', max_length=20)),
                ('timestamp', models.BigIntegerField(help_text='When it changed, in Unix milliseconds.')),
                ('kind', models.SmallIntegerField(choices=[(0, 'event'), (1, 'test'), (2, 'replay')], default=0, help_text='Event, test or replay.')),
                ('state', models.SmallIntegerField(choices=[(0, 'pending'), (1, 'sending'), (2, 'retrying'), (3, 'delivered'), (4, 'failed'), (5, 'discarded')], default=0, help_text='The state of the delivery.')),
                ('push_id', models.UUIDField(help_text='The Webhook-Id. The first claim sets it, and retries keep it. Tests and replays of a whole push have it from the start.', null=True)),
                ('attempts', models.PositiveSmallIntegerField(default=0, help_text='The number of attempts with a known outcome.')),
                ('due_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), help_text='When a worker may claim it. Pending: when it was added; retrying: the time of the next attempt; sending: the end of the current lease.')),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), help_text='When it was added.')),
                ('account', models.ForeignKey(db_constraint=False, db_index=False, editable=False, help_text='The account of the webhook.', on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='metaaccess.account')),
                ('webhook', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='webhooks.webhookconfig')),
            ],
            options={
                'verbose_name_plural': 'deliveries',
            },
        ),
        migrations.AddIndex(
            model_name='webhookconfig',
            index=models.Index(condition=models.Q(('disabled_at', None), ('unreachable_since__isnull', False)), fields=['unreachable_since'], name='silent_webhooks'),
        ),
        migrations.AddIndex(
            model_name='webhookconfig',
            index=models.Index(condition=models.Q(('deleted_at__isnull', False)), fields=['deleted_at'], name='webhooks_being_removed'),
        ),
        migrations.AddConstraint(
            model_name='webhookconfig',
            constraint=models.CheckConstraint(condition=models.Q(('events_per_push__range', (1, 500))), name='a_push_carries_1_to_500_events'),
        ),
        migrations.AddConstraint(
            model_name='webhookconfig',
            constraint=models.CheckConstraint(condition=models.Q(('events__len__gt', 0)), name='a_webhook_subscribes_to_some_status'),
        ),
        migrations.AddConstraint(
            model_name='webhookconfig',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('disabled_at', None), ('disabled_because', ''), ('disabled_by', ''), ('disabled_note', '')), models.Q(('disabled_at__isnull', False), ('disabled_because__in', ['failures', 'administrator']), models.Q(('disabled_by', ''), _negated=True)), _connector='OR'), name='a_disabled_webhook_says_who_and_why'),
        ),
        migrations.AddConstraint(
            model_name='webhookconfig',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('disabled_because', 'failures'), ('disabled_failing_since__isnull', False), ('disabled_failures__gt', 0), ('disabled_note', ''), models.Q(('disabled_last_failure', ''), _negated=True)), models.Q(models.Q(('disabled_because', 'failures'), _negated=True), ('disabled_failing_since', None), ('disabled_failures', None), ('disabled_last_failure', '')), _connector='OR'), name='failures_that_disabled_a_webhook_are_told'),
        ),
        migrations.AddConstraint(
            model_name='webhookconfig',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('consecutive_failures', 0), ('failing_since', None)), models.Q(('consecutive_failures__gt', 0), ('failing_since__isnull', False)), _connector='OR'), name='a_streak_has_a_beginning'),
        ),
        migrations.AddConstraint(
            model_name='webhookconfig',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('previous_signing_secret_sealed', ''), ('previous_signing_secret_until', None)), models.Q(models.Q(('signing_secret_sealed', ''), _negated=True), models.Q(('previous_signing_secret_sealed', ''), _negated=True), ('previous_signing_secret_until__isnull', False)), _connector='OR'), name='a_replaced_signing_secret_has_an_end'),
        ),
        migrations.AddConstraint(
            model_name='webhookconfig',
            constraint=models.CheckConstraint(condition=models.Q(('deleted_at', None), models.Q(('api_key_sealed', ''), ('previous_signing_secret_sealed', ''), ('signing_secret_sealed', '')), _connector='OR'), name='a_deleted_webhook_has_no_secrets'),
        ),
        migrations.AddIndex(
            model_name='notice',
            index=models.Index(condition=models.Q(('due_at__isnull', False)), fields=['due_at'], name='notices_still_to_send'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(condition=models.Q(('state', 0)), fields=['webhook', 'id'], name='deliveries_not_begun'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(condition=models.Q(('state__in', (1, 2))), fields=['webhook', 'state', 'due_at', 'id'], name='deliveries_begun'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(condition=models.Q(('kind', 1), ('state__in', (0, 1, 2))), fields=['webhook'], name='tests_still_to_do'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(fields=['webhook', '-id'], name='deliveries_of_webhook'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=django.contrib.postgres.indexes.BrinIndex(fields=['created_at'], name='deliveries_by_time'),
        ),
        migrations.RunSQL(VACUUM_BY_COUNT, migrations.RunSQL.noop),
        migrations.RunSQL(SAME_ACCOUNT, migrations.RunSQL.noop),
    ]
