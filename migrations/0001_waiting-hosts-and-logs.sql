ALTER TABLE "hosts" ADD COLUMN "retry_epoch" bigint;--> statement-breakpoint
ALTER TABLE "reports" ADD COLUMN "log" text;