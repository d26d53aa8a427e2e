ALTER TABLE "hosts" ADD COLUMN "refused_count" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "hosts" ADD COLUMN "refused_at" bigint;--> statement-breakpoint
ALTER TABLE "hosts" ADD COLUMN "refused_why" text;--> statement-breakpoint
CREATE INDEX "reports_with_log" ON "reports" USING btree ("host","series","seq") WHERE "reports"."log" is not null;--> statement-breakpoint
CREATE INDEX "releases_host_toplevel" ON "releases" USING btree ("host","toplevel");