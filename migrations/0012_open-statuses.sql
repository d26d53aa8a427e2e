DROP INDEX "status_outbox_due";--> statement-breakpoint
DROP INDEX "status_outbox_check";--> statement-breakpoint
CREATE INDEX "status_outbox_open" ON "status_outbox" USING btree ("due_at","check_at") WHERE ("status_outbox"."due_at" is not null or "status_outbox"."check_at" is not null);