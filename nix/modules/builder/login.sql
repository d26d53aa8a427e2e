-- Gives floe-builder a login that may do what the role of the server may. Can be repeated.
DO $body$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'floe-builder') THEN
    CREATE ROLE "floe-builder" LOGIN;
  END IF;
END
$body$;
GRANT floe TO "floe-builder";
ALTER ROLE "floe-builder" SET role = 'floe';
