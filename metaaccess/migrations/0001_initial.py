import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
import django.db.models.functions.text
import metaaccess.devices.ids
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Account',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(help_text="The customer's name.", max_length=200)),
                ('plan', models.CharField(choices=[('standard', 'Standard'), ('enterprise', 'Enterprise')], default='standard', help_text='Webhooks exist only on the enterprise plan.', max_length=20)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('plan_since', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False, help_text='When the account moved to its current plan.')),
                ('deleted_at', models.DateTimeField(editable=False, help_text='When the account was deleted. It is hidden, and its rows are being removed.', null=True)),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('deleted_at__isnull', False)), fields=['id'], name='accounts_being_removed')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('deleted_at', None)), fields=('name',), name='accounts_have_different_names')],
            },
        ),
        migrations.CreateModel(
            name='User',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('password', models.CharField(max_length=128, verbose_name='password')),
                ('last_login', models.DateTimeField(blank=True, null=True, verbose_name='last login')),
                ('email', models.EmailField(help_text='Used to sign in. Case does not matter.', max_length=254, unique=True)),
                ('role', models.CharField(choices=[('administrator', 'Administrator'), ('read_only', 'Read-only')], default='read_only', help_text='Administrators can make changes. Read-only users can only view.', max_length=20)),
                ('is_active', models.BooleanField(default=True, help_text='Clear this to stop the person from signing in.')),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('account', models.ForeignKey(blank=True, help_text="The user's account. An operator has none and sees all accounts.", null=True, on_delete=django.db.models.deletion.CASCADE, related_name='users', to='metaaccess.account')),
            ],
        ),
        migrations.CreateModel(
            name='ApiToken',
            fields=[
                ('token_key', models.CharField(db_index=True, max_length=25)),
                ('created', models.DateTimeField(auto_now_add=True)),
                ('expiry', models.DateTimeField(blank=True, null=True)),
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('digest', models.CharField(editable=False, max_length=128, unique=True)),
                ('name', models.CharField(help_text='What the token is used for, such as SIEM export.', max_length=100)),
                ('scope', models.CharField(choices=[('read', 'Read'), ('devices', 'Read, and change devices'), ('admin', 'Everything')], default='read', help_text="What a program may do with the token. Never more than the token's user may.", max_length=10)),
                ('last_used_at', models.DateTimeField(editable=False, help_text='When the token was last used, to the minute. None if it never was.', null=True, verbose_name='last used')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='auth_token_set', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'API token',
            },
        ),
        migrations.CreateModel(
            name='Device',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('device_id', models.CharField(default=metaaccess.devices.ids.new_device_id, help_text='16 characters from A–Z and 0–9. Generated if you leave it out.', max_length=16, unique=True, validators=[django.core.validators.RegexValidator('\\A[A-Z0-9]{16}\\Z', '%(value)r is not a device ID: enter 16 characters from A–Z and 0–9, such as 6WXJURV8QAM0I7KC.', code='invalid_device_id'), metaaccess.devices.ids.validate_not_the_test_device], verbose_name='device ID')),
                ('name', models.CharField(blank=True, help_text='The name that people know.', max_length=200)),
                ('os', models.CharField(blank=True, help_text='Such as Windows 11.', max_length=100, verbose_name='operating system')),
                ('status', models.CharField(choices=[('compliant', 'Compliant'), ('non_compliant', 'Non-compliant'), ('installed', 'Installed')], default='installed', help_text='A change is pushed to every webhook that subscribes to the new status.', max_length=20)),
                ('status_changed_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('account', models.ForeignKey(help_text='The account that the device belongs to.', on_delete=django.db.models.deletion.CASCADE, related_name='devices', to='metaaccess.account')),
            ],
            options={
                'ordering': ('pk',),
            },
        ),
        migrations.CreateModel(
            name='IdempotencyKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(help_text='The value that identifies the request.', max_length=255)),
                ('fingerprint', models.CharField(help_text='A digest of the request. Tells a repetition from another request with this key.', max_length=64)),
                ('status_code', models.PositiveSmallIntegerField(default=0, help_text='The HTTP status of the response.')),
                ('body', models.TextField(help_text='The body of the response.')),
                ('headers', models.JSONField(db_default={}, default=dict, help_text='Headers of the response, such as its ETag.')),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), db_index=True)),
                ('user', models.ForeignKey(db_constraint=False, help_text='The user who sent the request.', on_delete=django.db.models.deletion.DO_NOTHING, to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='RemovedDevice',
            fields=[
                ('device_id', models.CharField(max_length=16, primary_key=True, serialize=False)),
                ('timestamp', models.BigIntegerField(help_text="Of the device's last event: Unix milliseconds.")),
            ],
            options={
                'indexes': [models.Index(fields=['timestamp'], name='removed_devices_by_time')],
            },
        ),
        migrations.AddConstraint(
            model_name='user',
            constraint=models.CheckConstraint(condition=models.Q(('email', django.db.models.functions.text.Lower('email'))), name='an_email_address_is_in_lower_case'),
        ),
        migrations.AddConstraint(
            model_name='apitoken',
            constraint=models.UniqueConstraint(fields=('user', 'name'), name='a_person_names_each_token_differently'),
        ),
        migrations.AddConstraint(
            model_name='idempotencykey',
            constraint=models.UniqueConstraint(fields=('user', 'key'), name='a_person_uses_a_key_once'),
        ),
    ]
