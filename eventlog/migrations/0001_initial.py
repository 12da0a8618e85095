import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.core.serializers.json
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('metaaccess', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='AdminLog',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('time', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), help_text='When it was done.')),
                ('actor', models.CharField(help_text='The user or process that did it.', max_length=254, verbose_name='by')),
                ('action', models.CharField(help_text='A value of Action.', max_length=60)),
                ('target', models.CharField(help_text='What it was done to.', max_length=300)),
                ('object_type', models.CharField(blank=True, db_default='', help_text="The model of the target's row. Empty if there is no row.", max_length=60)),
                ('object_id', models.BigIntegerField(help_text="The ID of the target's row. None if there is no row.", null=True)),
                ('detail', models.TextField(blank=True, help_text='The reason that was given. Never a secret.')),
                ('facts', models.JSONField(db_default=models.Value({}, models.JSONField()), default=dict, encoder=django.core.serializers.json.DjangoJSONEncoder, help_text='Numbers, times, old and new values, which words.py formats. Never a secret.')),
                ('account', models.ForeignKey(help_text='The account that the action concerns. None: all accounts.', null=True, on_delete=django.db.models.deletion.CASCADE, to='metaaccess.account')),
            ],
            options={
                'verbose_name': 'admin event',
                'indexes': [models.Index(fields=['account', '-time', '-id'], name='admin_log_of_account'), models.Index(fields=['-time', '-id'], name='admin_log_by_time')],
            },
        ),
        migrations.CreateModel(
            name='DeviceLog',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('time', models.DateTimeField(help_text='When the status changed.')),
                ('event_id', models.UUIDField(help_text="The event's ID, as in its deliveries.", verbose_name='event')),
                ('device_id', models.CharField(help_text="The device's ID.", max_length=16, verbose_name='device ID')),
                ('device_name', models.CharField(blank=True, help_text="The device's name at that time.", max_length=200)),
                ('previous', models.CharField(blank=True, help_text='Empty for a new device.', max_length=20, verbose_name='previous status')),
                ('status', models.CharField(help_text='The new status.', max_length=20)),
                ('cause', models.CharField(help_text='What happened.', max_length=40)),
                ('actor', models.CharField(help_text='The user or process that made the change.', max_length=254, verbose_name='by')),
                ('recorded_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False, help_text='When the change was reported, which may be later than the change itself.')),
                ('account', models.ForeignKey(help_text='The account that the device belongs to.', on_delete=django.db.models.deletion.CASCADE, to='metaaccess.account')),
            ],
            options={
                'verbose_name': 'status change',
                'indexes': [django.contrib.postgres.indexes.BrinIndex(fields=['recorded_at'], name='device_log_by_record'), models.Index(fields=['account', '-time', '-id'], name='device_log_of_account'), models.Index(fields=['-time', '-id'], name='device_log_by_time'), models.Index(fields=['device_id', '-time', '-id'], name='device_log_of_device')],
            },
        ),
        migrations.CreateModel(
            name='Tally',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('webhook_id', models.BigIntegerField(help_text="The webhook's ID.", verbose_name='webhook')),
                ('start', models.DateTimeField(help_text='When the five minutes began.')),
                ('ending', models.CharField(choices=[('delivered', 'Delivered'), ('retrying', 'Failed, to be retried'), ('failed', 'Failed permanently')], help_text='How the attempts ended.', max_length=10)),
                ('bucket', models.SmallIntegerField(help_text='The duration of the attempts, on a logarithmic scale (bucket_of).')),
                ('count', models.PositiveIntegerField(help_text='The number of attempts.')),
                ('account', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to='metaaccess.account')),
            ],
            options={
                'indexes': [models.Index(fields=['account', 'start'], name='tallies_of_account'), models.Index(fields=['start'], name='tallies_by_time')],
                'constraints': [models.UniqueConstraint(fields=('webhook_id', 'start', 'ending', 'bucket'), name='a_tally_is_kept_once')],
            },
        ),
        migrations.CreateModel(
            name='WebhookLog',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('time', models.DateTimeField(help_text='When the attempt began.')),
                ('webhook_id', models.BigIntegerField(help_text="The webhook's ID.", verbose_name='webhook')),
                ('url', models.TextField(help_text='The callback URL of the attempt.', verbose_name='URL')),
                ('push_id', models.UUIDField(help_text='The Webhook-Id that the receiver saw.', verbose_name='push')),
                ('attempt', models.PositiveSmallIntegerField(help_text='1 for the first attempt of the push.')),
                ('kind', models.CharField(choices=[('event', 'Status change'), ('test', 'Test'), ('replay', 'Sent again')], default='event', help_text='A status change, a test, or a push that a person sent again.', max_length=10)),
                ('outcome', models.CharField(choices=[('delivered', 'Delivered'), ('failed', 'Failed')], help_text='Delivered if the status was 2xx.', max_length=10)),
                ('status_code', models.PositiveSmallIntegerField(help_text='None if no valid response arrived.', null=True, verbose_name='HTTP status')),
                ('error', models.CharField(blank=True, help_text='The kind of failure.', max_length=30)),
                ('detail', models.TextField(blank=True, help_text='A description of the failure.')),
                ('duration_ms', models.PositiveIntegerField(help_text='From the DNS lookup to the last byte of the response.', verbose_name='duration (ms)')),
                ('event_count', models.PositiveSmallIntegerField(help_text='The number of events in the push.', verbose_name='events')),
                ('device_ids', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=16), help_text='The devices whose events were in the push.', size=None)),
                ('statuses', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('compliant', 'Compliant'), ('non_compliant', 'Non-compliant'), ('installed', 'Installed'), ('deleted', 'Deleted')], max_length=20), default=list, help_text='The distinct statuses of the events in the push.', size=None)),
                ('request_body', models.TextField(help_text='The body that was sent.')),
                ('response_body', models.TextField(blank=True, help_text="The first part of the response's body.")),
                ('response_cut', models.BooleanField(db_default=False, default=False, help_text='Whether the stored body is incomplete: it was too long, or broke off.', verbose_name='response cut')),
                ('account', models.ForeignKey(help_text='The account that the webhook belongs to.', on_delete=django.db.models.deletion.CASCADE, to='metaaccess.account')),
            ],
            options={
                'verbose_name': 'attempt',
                'indexes': [models.Index(fields=['account', '-time', '-id'], name='webhook_log_of_account'), models.Index(fields=['-time', '-id'], name='webhook_log_by_time'), models.Index(fields=['webhook_id', '-time', '-id'], name='webhook_log_of_webhook'), models.Index(fields=['account', 'status_code', '-time', '-id'], name='webhook_log_by_status'), models.Index(condition=models.Q(('outcome', 'failed')), fields=['account', '-time', '-id'], name='webhook_log_of_failures'), models.Index(condition=models.Q(('statuses__contains', ['installed'])), fields=['-time', '-id'], name='webhook_log_installed'), models.Index(condition=models.Q(('statuses__contains', ['deleted'])), fields=['-time', '-id'], name='webhook_log_deleted'), django.contrib.postgres.indexes.GinIndex(fields=['device_ids', 'statuses'], name='webhook_log_of_devices'), models.Index(fields=['push_id'], name='webhook_log_of_push')],
            },
        ),
    ]
