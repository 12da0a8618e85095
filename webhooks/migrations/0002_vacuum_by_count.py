from django.db import migrations

# By default a table is vacuumed when a fifth of it is dead: with a long history that is millions
# of dead entries in the small index of what is to do, which every claim would walk through.
FORWARDS = """
ALTER TABLE webhooks_delivery SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000)
"""
BACKWARDS = """
ALTER TABLE webhooks_delivery RESET (
    autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold,
    autovacuum_analyze_scale_factor, autovacuum_analyze_threshold)
"""


class Migration(migrations.Migration):
    dependencies = [("webhooks", "0001_initial")]
    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]
