-- Every token could do everything until now. Later ones say their role.
ALTER TABLE "api_tokens" ADD COLUMN "role" text DEFAULT 'administrator' NOT NULL;--> statement-breakpoint
ALTER TABLE "api_tokens" ALTER COLUMN "role" DROP DEFAULT;--> statement-breakpoint
ALTER TABLE "api_tokens" ADD COLUMN "created_by" text;--> statement-breakpoint
ALTER TABLE "api_tokens" ADD COLUMN "expires_at" bigint;--> statement-breakpoint
ALTER TABLE "audit_log" ADD COLUMN "refused_on" integer;--> statement-breakpoint
ALTER TABLE "audit_log" ADD COLUMN "count" bigint DEFAULT 1 NOT NULL;--> statement-breakpoint
ALTER TABLE "audit_log" ADD COLUMN "last_at" bigint;--> statement-breakpoint
ALTER TABLE "sessions" ADD COLUMN "role" text DEFAULT 'administrator' NOT NULL;--> statement-breakpoint
ALTER TABLE "sessions" ALTER COLUMN "role" DROP DEFAULT;--> statement-breakpoint
CREATE INDEX "audit_log_subject" ON "audit_log" USING btree ("subject" text_pattern_ops,"id");--> statement-breakpoint
CREATE UNIQUE INDEX "audit_log_refusals" ON "audit_log" USING btree ("actor","action","refused_on") WHERE "audit_log"."refused_on" is not null;