from django.db import migrations


class Migration(migrations.Migration):
    """The console's forms need them, too. What is kept for a day is not worth moving."""

    dependencies = [("api", "0001_initial")]
    operations = [migrations.DeleteModel("IdempotencyKey")]
