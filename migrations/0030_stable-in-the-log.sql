DROP INDEX "releases_imported";--> statement-breakpoint
ALTER TABLE "hosts" ADD COLUMN "logged_stable_id" text;--> statement-breakpoint
ALTER TABLE "repositories" ADD COLUMN "stable_number" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
CREATE INDEX "hosts_stable_unlogged" ON "hosts" USING btree ("repository_id") WHERE "hosts"."stable_release_id" is distinct from "hosts"."logged_stable_id";