from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('eventlog', '0004_for_webhook_check'),
    ]

    operations = [
        migrations.AddField(
            model_name='webhooklog',
            name='response_cut',
            field=models.BooleanField(db_default=False, default=False, help_text="The response's body was longer than what is kept of it, or broke off.", verbose_name='response cut'),
        ),
    ]
